//! The applications that a person uses through Doorward, and what ended without their doing.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::consent::{self, ConsentRow};
use crate::cx::Cx;
use crate::families::{self, EndReason, FamilyRow};
use crate::kernel::{ClientId, Fault, UserId};

/// One application, whatever it has of the person.
pub(super) struct Application {
    pub(super) client_id: ClientId,
    pub(super) name: String,
    /// What the person granted it: scopes, and claims by name.
    pub(super) granted: Vec<String>,
    /// When it last took a token.
    pub(super) last_used_at: Option<OffsetDateTime>,
    /// Whether it has something that outlives a logout.
    pub(super) offline: bool,
    /// The sessions that it was opened with and still counts in.
    pub(super) sessions: Vec<Uuid>,
}

/// An application that was signed out because something of it was used twice: somebody may have had a copy.
pub(super) struct Alarm {
    pub(super) name: String,
    pub(super) at: OffsetDateTime,
}

/// The person's applications, last used first, and alarms, last first.
pub(super) async fn list(user: UserId, cx: &Cx) -> Result<(Vec<Application>, Vec<Alarm>), Fault> {
    let (families, consents) = {
        let mut connection = cx.connection().await?;
        let families = families::list(user, cx.now, &mut connection).await?;
        (families, consent::list(user, &mut connection).await?)
    };
    let mut applications: BTreeMap<ClientId, Application> = BTreeMap::new();
    let mut alarms = Vec::new();
    for family in families {
        let Some(name) = name(&family.client_id, cx).await? else {
            continue;
        };
        match family.ended {
            Some((at, EndReason::CodeReplayed | EndReason::RefreshTokenReplayed)) => {
                alarms.push(Alarm { name, at });
            }
            Some(_) => {}
            None => add(&mut applications, name, family),
        }
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
    alarms.sort_by_key(|a| std::cmp::Reverse(a.at));
    Ok((applications, alarms))
}

fn add(applications: &mut BTreeMap<ClientId, Application>, name: String, family: FamilyRow) {
    let application = entry(applications, family.client_id, name);
    application.last_used_at = application.last_used_at.max(Some(family.last_used_at));
    application.offline |= family.offline;
    application.sessions.push(family.session_id);
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
            offline: false,
            sessions: Vec::new(),
        })
}

/// What the operator called it; `None` where it is gone.
async fn name(client: &ClientId, cx: &Cx) -> Result<Option<String>, Fault> {
    let client = cx.app.clients.find(client, cx).await?;
    Ok(client.map(|client| client.registration.name.clone()))
}
