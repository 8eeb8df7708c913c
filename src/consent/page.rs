//! `/consent`: who asks, for what, where it leads, for how long.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use url::Url;

use super::words::{Wish, wishes};
use crate::authorize::{self, Due, Interaction};
use crate::cx::Cx;
use crate::http::shapes::PageRefusals;
use crate::http::{PageError, PageForm, assets_version, page};
use crate::kernel::scope;
use crate::login::page::DENIED;
use crate::sessions::{Visitor, check_form, form_token};

/// Characters of a name or an address that are shown (checklist 12).
const SHOWN: usize = 80;

#[derive(Template)]
#[template(path = "consent/ask.html")]
struct ConsentPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    request: &'a str,
    /// Stands for all that is shown.
    seal: String,
    application: String,
    who: &'a str,
    wishes: Vec<Wish>,
    leads_to: String,
    days: u32,
    offline: bool,
}

/// `GET /consent`.
#[utoipa::path(get, path = "/consent", tag = "people", params(("request" = String, Query, description = "Names the authorization request")), responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, PageError> {
    let name = authorize::named(uri.query()).ok_or_else(PageError::not_found)?;
    let interaction = authorize::find(&name, &headers, &cx).await?;
    let step = interaction.step(&known, &cx).await?;
    let (Due::Consent, Some((person, _))) = (step.due, &known) else {
        return authorize::go_on(&interaction, &known, &cx).await;
    };
    let template = ConsentPage {
        assets: assets_version(),
        csrf: &form_token(&session, &cx),
        request: &interaction.name,
        seal: interaction.seal(&step.asked, &cx),
        application: shortened(interaction.application()),
        who: person.name.as_deref().unwrap_or(person.identifier()),
        wishes: wishes(&step.asked),
        leads_to: leads_to(&interaction),
        days: days(&interaction, &cx),
        offline: step
            .asked
            .iter()
            .any(|asked| asked == scope::OFFLINE_ACCESS),
    };
    Ok(interaction.page(page(StatusCode::OK, &template)?))
}

/// `POST /consent`: the person decides about the request that the server keeps.
#[utoipa::path(post, path = "/consent", tag = "people", responses((status = 200, description = "The answer, as a form that sends itself", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post(
    Visitor { session, known, cx }: Visitor,
    headers: HeaderMap,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let name = form.take_text("request").ok_or_else(PageError::not_found)?;
    let interaction = authorize::find(&name, &headers, &cx).await?;
    match form.take_text("decision").as_deref() {
        Some("allow") => {
            let seal = form.take_text("seal").unwrap_or_default();
            authorize::approve(&interaction, &seal, &known, &cx).await
        }
        Some("deny") => authorize::deny(&interaction, DENIED, &cx).await,
        _ => authorize::go_on(&interaction, &known, &cx).await,
    }
}

/// Where the answer goes, in words that a person can compare with what they see afterwards.
fn leads_to(interaction: &Interaction) -> String {
    let uri = &interaction.request.back.redirect_uri;
    let Ok(url) = Url::parse(uri) else {
        return shortened(uri);
    };
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some("localhost" | "127.0.0.1" | "[::1]")) => {
            "a program on this device".to_owned()
        }
        ("http" | "https", Some(host)) => end_of(host),
        (scheme, _) => format!(
            "the app on this device that opens {}: links",
            end_of(scheme)
        ),
    }
}

/// For how long, at most.
fn days(interaction: &Interaction, cx: &Cx) -> u32 {
    let own = interaction
        .client
        .registration
        .sign_on
        .refresh_token_lifetime;
    let life = own.unwrap_or(cx.app.config.tokens.refresh_token_lifetime);
    life.whole_seconds().div_ceil(86_400)
}

/// Of a host the end is shown: whose it is, that says.
fn end_of(host: &str) -> String {
    let most = host.chars().count().saturating_sub(SHOWN - 1);
    if most <= 1 {
        return host.to_owned();
    }
    let end = host.chars().skip(most);
    ['…'].into_iter().chain(end).collect()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}
