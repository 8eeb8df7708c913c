//! The applications that a person uses through Doorward, and what ended without their doing.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::consent::{self, ConsentRow};
use crate::cx::Cx;
use crate::families::{self, FamilyRow};
use crate::kernel::{ClientId, FamilyId, Fault, UserId};

/// Logins of one application that are shown; those that were used last.
const LOGINS: i64 = 20;
const ALARMS: i64 = 20;

/// One application, whatever it has of the person.
pub(super) struct Application {
    pub(super) client_id: ClientId,
    pub(super) name: String,
    /// What the person granted it: scopes, and claims by name.
    pub(super) granted: Vec<String>,
    /// When it last took a token.
    pub(super) last_used_at: Option<OffsetDateTime>,
    /// What it has of the person, last used first; empty where it is only remembered.
    pub(super) logins: Vec<Login>,
}

/// What one sign-in gave to an application.
pub(super) struct Login {
    pub(super) family: FamilyId,
    /// The session that it was opened with, which may have ended.
    pub(super) session: Uuid,
    pub(super) began_at: OffsetDateTime,
    pub(super) last_used_at: OffsetDateTime,
    /// Whether it outlives a logout.
    pub(super) offline: bool,
}

/// An application that was signed out because something of it was used twice: somebody may have had a copy.
pub(super) struct Alarm {
    pub(super) name: String,
    pub(super) at: OffsetDateTime,
}

/// The person's applications, last used first, and alarms, last first.
pub(super) async fn list(user: UserId, cx: &Cx) -> Result<(Vec<Application>, Vec<Alarm>), Fault> {
    let (families, replayed, consents) = {
        let mut connection = cx.connection().await?;
        (
            families::list(user, LOGINS, cx.now, &mut connection).await?,
            families::list_replayed(user, ALARMS, cx.now, &mut connection).await?,
            consent::list(user, &mut connection).await?,
        )
    };
    let mut applications: BTreeMap<ClientId, Application> = BTreeMap::new();
    for family in families {
        if let Some(name) = name(&family.client_id, cx).await? {
            add(&mut applications, name, family);
        }
    }
    let mut alarms = Vec::new();
    for (client_id, at) in replayed {
        let name = name(&client_id, cx).await?;
        alarms.extend(name.map(|name| Alarm { name, at }));
    }
    for ConsentRow {
        client_id, granted, ..
    } in consents
    {
        let Ok(client_id) = client_id.parse::<ClientId>() else {
            continue;
        };
        if let Some(name) = name(&client_id, cx).await? {
            entry(&mut applications, client_id, name).granted = granted;
        }
    }
    let mut applications: Vec<_> = applications.into_values().collect();
    applications.sort_by_key(|a| std::cmp::Reverse(a.last_used_at));
    Ok((applications, alarms))
}

fn add(applications: &mut BTreeMap<ClientId, Application>, name: String, family: FamilyRow) {
    let application = entry(applications, family.client_id, name);
    application.last_used_at = application.last_used_at.max(Some(family.last_used_at));
    application.logins.push(Login {
        family: family.id,
        session: family.session_id,
        began_at: family.began_at,
        last_used_at: family.last_used_at,
        offline: family.offline,
    });
}

fn entry(
    applications: &mut BTreeMap<ClientId, Application>,
    client_id: ClientId,
    name: String,
) -> &mut Application {
    applications
        .entry(client_id.clone())
        .or_insert_with(|| Application {
            client_id,
            name,
            granted: Vec::new(),
            last_used_at: None,
            logins: Vec::new(),
        })
}

/// What the operator called it; `None` where it is gone.
async fn name(client: &ClientId, cx: &Cx) -> Result<Option<String>, Fault> {
    let client = cx.app.clients.find(client, cx).await?;
    Ok(client.map(|client| client.registration.name.clone()))
}
