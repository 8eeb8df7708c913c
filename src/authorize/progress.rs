//! A request's way through its steps, whatever page it is at: one question ([`Step`]), asked of what the server knows, and one place that
//! answers it.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use time::Duration;
use uuid::Uuid;

use super::checks::may_go_back;
use super::code::{self, Granted};
use super::due::{Due, Present, SIGN_IN, due};
use super::model::{Prompt, Refused, Request};
use super::respond::{Answer, respond, with_way_back};
use super::store;
use crate::clients::{AuthMethod, Client};
use crate::consent;
use crate::cx::{Actor, Cx};
use crate::http::{Form, PageError};
use crate::kernel::network::household;
use crate::kernel::seal::SealingKeys;
use crate::kernel::{Fault, ScopeSet, Secret, TokenHash, random, scope};
use crate::login::attempt;
use crate::sessions::{SessionData, Stage};
use crate::token;
use crate::users::{self, SignIn};

/// How long somebody may take.
const LIFE: Duration = Duration::hours(1);
/// What a hint is sealed as.
const HINT: &str = "login_hint";
/// Keeps seals apart from the tokens of forms.
const SHOWN: &str = "consent";
/// Requests that one household has under way; whoever begins another has the oldest make room (E33).
const MOST: i64 = 1000;

/// Who sits at the browser, and how far their sign-in has come.
type Known = Option<(SignIn, SessionData)>;

/// A stored request that this browser began.
pub(crate) struct Interaction {
    /// What the form fields and links of its pages carry: its name and nothing of the request (checklist 7).
    pub(crate) name: String,
    id: TokenHash,
    pub(crate) request: Request,
    pub(crate) client: Arc<Client>,
    chosen: Option<Uuid>,
}

/// The next step, with what it needs.
pub(crate) struct Step {
    pub(crate) due: Due,
    /// What is asked for, once it is known of whom.
    pub(crate) asked: Vec<String>,
    granted: Option<Granted>,
}

impl Step {
    fn just(due: Due) -> Self {
        Self {
            due,
            asked: Vec::new(),
            granted: None,
        }
    }
}

/// Answers a request at once where nothing else is due; stores it and leads to the first step otherwise.
pub(super) async fn begin(
    client: &Client,
    request: &Request,
    known: &Known,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Response, PageError> {
    let step = step(request, None, client, known, cx).await?;
    match (step.due, step.granted, known) {
        (Due::Answer, Some(granted), Some((person, data))) => {
            let cx = cx.acting(Actor::Session { user_id: person.id });
            let mut connection = cx.connection().await?;
            let code = code::make(request, &granted, data, &mut connection, &cx).await?;
            respond(&request.back, &Answer::Code(code), &cx)
        }
        (Due::Refuse(refused), ..) => respond(&request.back, &Answer::Refused(refused), cx),
        (due, ..) => {
            let issuer = &cx.app.config.issuer;
            let (attempt, fresh) = attempt::present_or_fresh(headers, issuer);
            let browser = TokenHash::of(attempt.expose());
            let name = store(request, Some(&browser), headers, cx).await?;
            let mut response = Redirect::to(&page_of(&due, &name)).into_response();
            if fresh {
                let cookie = attempt::cookie(&attempt, issuer)?;
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
    }
}

/// Stores a request that came by POST: browsers send no cookies with one from another site, so it goes on by GET.
pub(super) async fn begin_later(
    request: &Request,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Response, PageError> {
    let name = store(request, None, headers, cx).await?;
    let address = format!("/oauth2/authorize/continue?request={name}");
    Ok(Redirect::to(&address).into_response())
}

/// Binds such a request to the browser that comes for it, and goes on.
pub(super) async fn take_up(
    name: &str,
    known: &Known,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Response, PageError> {
    let issuer = &cx.app.config.issuer;
    let (attempt, fresh) = attempt::present_or_fresh(headers, issuer);
    let browser = TokenHash::of(attempt.expose());
    {
        let mut connection = cx.connection().await?;
        store::bind(&TokenHash::of(name), &browser, cx.now, &mut connection).await?;
    }
    let interaction = find_for(name, &browser, cx).await?;
    let mut response = go_on(&interaction, known, cx).await?;
    if fresh {
        let cookie = attempt::cookie(&attempt, issuer)?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn store(
    request: &Request,
    browser: Option<&TokenHash>,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<String, PageError> {
    if !is_seen(headers) {
        let text = "Signing in takes a page of its own. Please go back to the application that you came from and sign in from there.";
        return Err(PageError::new(
            StatusCode::BAD_REQUEST,
            "Not within another page",
            text,
        ));
    }
    let name = random::token().expose().clone();
    let household = cx.origin.ip.map(household);
    let hint = request.login_hint.as_ref();
    let hint = hint.map(|hint| holder(&name).seal(HINT, hint.as_bytes()));
    let new = store::New {
        id: &TokenHash::of(&name),
        browser,
        request,
        sealed_hint: hint.as_deref(),
        household: &household.map_or_else(String::new, |ip| ip.to_string()),
        expires_at: cx.now + LIFE,
    };
    let crowded = store::insert(&new, MOST, &mut *cx.connection().await?).await?;
    if crowded {
        tracing::warn!("an address has too many logins under way; its oldest make room");
    }
    Ok(name)
}

/// Whether a person sees what is answered, as far as their browser says (Fetch Metadata): what other sites' pictures, frames and scripts
/// ask for, and what is fetched in case somebody should want it, leads to no login.
fn is_seen(headers: &HeaderMap) -> bool {
    let to = headers.get("sec-fetch-dest");
    to.is_none_or(|to| to == "document") && !headers.contains_key("sec-purpose")
}

/// A request by its name, where this browser began it (checklist 74, 164): planted in another, the name is worthless.
pub(crate) async fn find(
    name: &str,
    headers: &HeaderMap,
    cx: &Cx,
) -> Result<Interaction, PageError> {
    let attempt = attempt::present(headers, &cx.app.config.issuer).ok_or_else(over)?;
    find_for(name, &TokenHash::of(attempt.expose()), cx).await
}

async fn find_for(name: &str, browser: &TokenHash, cx: &Cx) -> Result<Interaction, PageError> {
    let id = TokenHash::of(name);
    let stored = {
        let mut connection = cx.connection().await?;
        store::find(&id, browser, cx.now, &mut connection).await?
    };
    let stored = stored.ok_or_else(over)?;
    let client = cx.app.clients.find(&stored.request.client_id, cx).await?;
    // The client may have changed meanwhile.
    let client = client
        .filter(|client| may_go_back(&stored.request.back.redirect_uri, client))
        .ok_or_else(over)?;
    let hint = stored.sealed_hint;
    let hint = hint.and_then(|sealed| holder(name).open(HINT, &sealed).ok());
    let login_hint = hint.and_then(|hint| String::from_utf8(hint.expose().clone()).ok());
    Ok(Interaction {
        name: name.to_owned(),
        id,
        request: Request {
            login_hint,
            ..stored.request
        },
        client,
        chosen: stored.chosen,
    })
}

/// What is sealed so is for whoever has the request's name, and that is kept nowhere but at the browser.
fn holder(name: &str) -> SealingKeys {
    SealingKeys::of_holder(&Secret::new(name.to_owned()))
}

fn over() -> PageError {
    let text = "It has ended, or was begun in another browser. Please go back to the application that you came from and sign in from there.";
    PageError::new(StatusCode::BAD_REQUEST, "This sign-in is over", text)
}

impl Interaction {
    /// What is due now.
    pub(crate) async fn step(&self, known: &Known, cx: &Cx) -> Result<Step, Fault> {
        step(&self.request, self.chosen, &self.client, known, cx).await
    }

    /// A page of the flow: its forms may lead back to the client.
    pub(crate) fn page(&self, response: Response) -> Response {
        with_way_back(response, &self.request.back)
    }

    /// Stands for what the consent page shows. A client that changes between the page and its button, as one that registered itself may
    /// at any time, is asked about anew: nobody approves what they did not see (checklist 7, 11).
    pub(crate) fn seal(&self, asked: &[String], cx: &Cx) -> String {
        cx.app.csrf.token(SHOWN, &self.shown(asked))
    }

    fn is_sealed(&self, asked: &[String], seal: &str, cx: &Cx) -> bool {
        cx.app.csrf.check(SHOWN, &self.shown(asked), seal)
    }

    /// The request, the client as it is, and all that is asked for.
    fn shown(&self, asked: &[String]) -> String {
        format!("{} {} {}", self.name, self.client.version, asked.join(" "))
    }

    /// The client's name, for people.
    pub(crate) fn application(&self) -> &str {
        &self.client.registration.name
    }
}

/// Leads to the step that is due, or answers.
pub(crate) async fn go_on(
    interaction: &Interaction,
    known: &Known,
    cx: &Cx,
) -> Result<Response, PageError> {
    let step = interaction.step(known, cx).await?;
    match (step.due, step.granted, known) {
        (Due::Answer, Some(granted), Some((_, data))) => {
            finish(interaction, &granted, data, None, cx).await
        }
        (Due::Refuse(refused), ..) => deny(interaction, refused, cx).await,
        (due, ..) => Ok(Redirect::to(&page_of(&due, &interaction.name)).into_response()),
    }
}

/// The person approves what they saw (`seal`), where that is still what is asked, and the step that is due.
pub(crate) async fn approve(
    interaction: &Interaction,
    seal: &str,
    known: &Known,
    cx: &Cx,
) -> Result<Response, PageError> {
    let step = interaction.step(known, cx).await?;
    match (step.due, step.granted, known) {
        (Due::Consent, Some(granted), Some((_, data)))
            if interaction.is_sealed(&step.asked, seal, cx) =>
        {
            finish(interaction, &granted, data, Some(&step.asked), cx).await
        }
        _ => go_on(interaction, known, cx).await,
    }
}

/// The person goes on with the account that is signed in.
pub(crate) async fn choose(
    mut interaction: Interaction,
    known: &Known,
    cx: &Cx,
) -> Result<Response, PageError> {
    if let (Due::ChooseAccount, Some((_, data))) = (interaction.step(known, cx).await?.due, known) {
        let mut connection = cx.connection().await?;
        store::choose(&interaction.id, data.public_id, &mut connection).await?;
        interaction.chosen = Some(data.public_id);
    }
    go_on(&interaction, known, cx).await
}

/// Ends the request with an error to the client; whatever session there is stays as it is (checklist 10).
pub(crate) async fn deny(
    interaction: &Interaction,
    refused: Refused,
    cx: &Cx,
) -> Result<Response, PageError> {
    let taken = {
        let mut connection = cx.connection().await?;
        store::take(&interaction.id, &mut connection).await?
    };
    if !taken {
        return Err(over());
    }
    respond(&interaction.request.back, &Answer::Refused(refused), cx)
}

async fn finish(
    interaction: &Interaction,
    granted: &Granted,
    session: &SessionData,
    approved: Option<&[String]>,
    cx: &Cx,
) -> Result<Response, PageError> {
    let cx = cx.acting(Actor::Session {
        user_id: session.user_id,
    });
    let mut tx = cx.begin().await?;
    if !store::take(&interaction.id, &mut tx).await? {
        return Err(over());
    }
    if let Some(approved) = approved
        && !may_be_an_impostor(&interaction.request, &interaction.client)
    {
        let client = &interaction.client.id;
        consent::remember(session.user_id, client, approved, &mut tx, &cx).await?;
    }
    let code = code::make(&interaction.request, granted, session, &mut tx, &cx).await?;
    tx.commit().await.map_err(Fault::from)?;
    respond(&interaction.request.back, &Answer::Code(code), &cx)
}

async fn step(
    request: &Request,
    chosen: Option<Uuid>,
    client: &Client,
    known: &Known,
    cx: &Cx,
) -> Result<Step, Fault> {
    let present = known.as_ref().map(|(person, data)| Present {
        user_id: person.id,
        session: data.public_id,
        signed_in: data.stage == Stage::SignedIn,
        proven_at: data.began_at,
    });
    let silent = |due: Due| {
        if request.wants(Prompt::None) {
            due.silently()
        } else {
            due
        }
    };
    // What not even an admin may have is the client's own mistake, and told whoever sits there.
    if let Err(refused) = granted(request, client, true, cx) {
        return Ok(Step::just(Due::Refuse(refused)));
    }
    let due = due(request, present, chosen);
    let (Due::Answer, Some((person, _))) = (&due, known) else {
        return Ok(Step::just(silent(due)));
    };
    let granted = match granted(request, client, person.admin, cx) {
        Ok(granted) => granted,
        // What the person may not have tells that it is they who sit there, as the want of their consent does.
        Err(_) if request.subject.is_some() && asks(request, client) != Asks::Never => {
            return Ok(Step::just(Due::Refuse(SIGN_IN)));
        }
        Err(refused) => return Ok(Step::just(Due::Refuse(refused))),
    };
    let asked = asked(request, &granted.scope);
    let consented = match asks(request, client) {
        Asks::Never => true,
        Asks::Always => false,
        Asks::Once => {
            let mut connection = cx.connection().await?;
            consent::covers(person.id, &client.id, &asked, &mut connection).await?
        }
    };
    let due = match silent(if consented { Due::Answer } else { Due::Consent }) {
        // A client that names somebody, and has no consent of theirs, does not learn that it is they who sit there.
        Due::Refuse(_) if request.subject.is_some() => Due::Refuse(SIGN_IN),
        due => due,
    };
    Ok(Step {
        due,
        asked,
        granted: Some(granted),
    })
}

/// When a person is asked for consent (checklist 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// The operator's own applications.
    Never,
    Once,
    /// Each time: the client wants it so, or it may be another that asks.
    Always,
}

/// A public client whose address anybody on the person's machine could have taken (RFC 8252 §8.6). Nothing is remembered for it.
fn may_be_an_impostor(request: &Request, client: &Client) -> bool {
    let public = client.registration.auth_method == AuthMethod::None;
    public && !request.back.redirect_uri.starts_with("https://")
}

fn asks(request: &Request, client: &Client) -> Asks {
    if may_be_an_impostor(request, client) || request.wants(Prompt::Consent) {
        Asks::Always
    } else if client.registration.sign_on.first_party {
        Asks::Never
    } else {
        Asks::Once
    }
}

/// Scope and audience of what a person will give, an admin or not, by the token endpoint's own rules.
fn granted(request: &Request, client: &Client, admin: bool, cx: &Cx) -> Result<Granted, Refused> {
    let malformed = Refused::new("invalid_scope", "The scope is malformed.");
    let asked = request.scope.as_deref().map(ScopeSet::parse).transpose();
    let may_have = |name: &str| admin || !scope::OWN.contains(&name);
    let scope =
        token::scope(asked.map_err(|_| malformed)?, client, may_have).map_err(Refused::from)?;
    let issuer = &cx.app.config.issuer;
    let audience =
        token::audience(&scope, &request.resources, client, issuer).map_err(Refused::from)?;
    Ok(Granted { scope, audience })
}

/// What consent is asked for: the scopes, and those claims that were asked for by name and no scope opens.
fn asked(request: &Request, scope: &ScopeSet) -> Vec<String> {
    let claims = request.claims.names().into_iter();
    let claims = claims.filter(|name| users::is_claim(name) && !users::opens(scope, name));
    let mut asked: Vec<String> = scope.iter().map(str::to_owned).collect();
    asked.extend(claims.map(|name| format!("claim:{name}")));
    asked
}

fn page_of(due: &Due, name: &str) -> String {
    let page = match due {
        Due::SignIn | Due::NewPassword => "/login",
        Due::ChooseAccount => "/login/account",
        Due::Consent => "/consent",
        // Whatever asks anew is answered there.
        Due::Answer | Due::Refuse(_) => "/oauth2/authorize/continue",
    };
    format!("{page}?request={name}")
}

/// The `request` of a page's address.
pub(crate) fn named(query: Option<&str>) -> Option<String> {
    let mut form = Form::parse(query?.as_bytes(), &[]).ok()?;
    form.take_text("request")
}
