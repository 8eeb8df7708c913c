//! `/logout`, and `/oauth2/logout` for applications.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::rp_initiated::{Back, Refusal, Request, Vetted, vet};
use crate::http::shapes::PageRefusals;
use crate::http::{Form, FormError, PageError, PageForm, assets_version, page, page_leading_to};
use crate::kernel::redirect::form_target;
use crate::sessions::{self, SignedIn, Stage, Visitor, check_form, form_token};
use crate::users::SignIn;

#[derive(Template)]
#[template(path = "logout/sign_out.html")]
struct SignOutPage<'a> {
    assets: &'a str,
    csrf: &'a str,
    who: &'a str,
    /// The application that asks for it.
    application: Option<&'a str>,
    /// What the form carries on, checked anew when it comes.
    carried: Vec<(&'static str, &'a str)>,
}

#[derive(Template)]
#[template(path = "logout/signed_out.html")]
struct SignedOutPage<'a> {
    assets: &'a str,
}

/// `GET /logout`: asks; changes nothing (checklist 83).
#[utoipa::path(get, path = "/logout", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get(
    SignedIn {
        session,
        person,
        cx,
        ..
    }: SignedIn,
) -> Result<Response, PageError> {
    let template = SignOutPage {
        assets: assets_version(),
        csrf: &form_token(&session, &cx),
        who: who(&person),
        application: None,
        carried: Vec::new(),
    };
    page(StatusCode::OK, &template)
}

/// `POST /logout`: ends the session on the server.
#[utoipa::path(post, path = "/logout", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post(
    SignedIn {
        session,
        person,
        data,
        cx,
    }: SignedIn,
    PageForm(mut form): PageForm,
) -> Result<Response, PageError> {
    check_form(&mut form, &session, &cx)?;
    let asked = form.take_text(ASKED).is_some();
    let vetted = vet(Request::read(&mut form), &cx).await?;
    // The application may mean an earlier session of theirs: that one ends as well.
    let earlier = vetted.hint_of(person.id).map(|hint| hint.session_id);
    sessions::sign_out(&session, &data, &person, earlier, &cx).await?;
    if asked {
        gone(vetted.back.as_ref())
    } else {
        Ok((FORGET, Redirect::to("/login")).into_response())
    }
}

/// An application's user leaves (OpenID Connect RP-Initiated Logout 1.0). With an ID token of this very session that ends it; otherwise
/// the person is asked.
#[utoipa::path(get, path = "/oauth2/logout", tag = "people", params(("id_token_hint" = Option<String>, Query, description = "An ID token that the application got; it may have expired"), ("client_id" = Option<String>, Query, description = "The application"), ("post_logout_redirect_uri" = Option<String>, Query, description = "Where to go afterwards; registered, byte for byte"), ("state" = Option<String>, Query, description = "Told there"), ("logout_hint" = Option<String>, Query, description = "Ignored"), ("ui_locales" = Option<String>, Query, description = "Ignored")), responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn get_of_application(
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let mut form = Form::parse(query.as_bytes(), &[]).map_err(unreadable)?;
    answer(visitor, Request::read(&mut form)).await
}

/// The same by a form, from wherever the application has it.
#[utoipa::path(post, path = "/oauth2/logout", tag = "people", responses((status = 200, description = "A page", content_type = "text/html", body = String), (status = 303, description = "Go on there"), PageRefusals))]
pub(crate) async fn post_of_application(
    visitor: Visitor,
    form: Result<Form, FormError>,
) -> Result<Response, PageError> {
    let request = Request::read(&mut form.map_err(unreadable)?);
    let again = format!("/oauth2/logout?{}", request.without_hint());
    let known = visitor.known.is_some();
    let vetted = vet(request, &visitor.cx).await?;
    if !known && vetted.hint.is_none() {
        // Browsers keep our cookie from other sites' forms: whether somebody is signed in here, they show when they come by a link.
        return Ok(Redirect::to(&again).into_response());
    }
    act(visitor, vetted).await
}

async fn answer(visitor: Visitor, request: Request) -> Result<Response, PageError> {
    let vetted = vet(request, &visitor.cx).await?;
    act(visitor, vetted).await
}

async fn act(visitor: Visitor, vetted: Vetted) -> Result<Response, PageError> {
    let Visitor { session, known, cx } = visitor;
    let signed_in = known.filter(|(_, data)| data.stage == Stage::SignedIn);
    match (signed_in, &vetted.hint) {
        (Some((person, data)), Some(hint))
            if (hint.user_id, hint.session_id) == (person.id, data.public_id) =>
        {
            sessions::sign_out(&session, &data, &person, None, &cx).await?;
        }
        (Some((person, _)), _) => return ask(&form_token(&session, &cx), &person, &vetted),
        // The cookie is lost, or was never sent: what the hint names is ended all the same (checklist 77).
        (None, Some(hint)) => sessions::end_one(hint.session_id, hint.user_id, &cx).await?,
        (None, None) => {}
    }
    gone(vetted.back.as_ref())
}

/// Names the form of an application's logout among those of our own.
const ASKED: &str = "asked";

fn ask(csrf: &str, person: &SignIn, vetted: &Vetted) -> Result<Response, PageError> {
    let client = vetted.client.as_deref();
    let mut carried = vec![(ASKED, "1")];
    let theirs = vetted.hint_of(person.id);
    carried.extend(theirs.map(|hint| ("id_token_hint", hint.token.as_str())));
    if let (Some(client), Some(back)) = (client, &vetted.back) {
        carried.push(("client_id", client.id.as_str()));
        carried.push(("post_logout_redirect_uri", &back.uri));
        carried.extend(back.state.as_deref().map(|state| ("state", state)));
    }
    let template = SignOutPage {
        assets: assets_version(),
        csrf,
        who: who(person),
        application: client.map(|client| client.registration.name.as_str()),
        carried,
    };
    let page = page(StatusCode::OK, &template)?;
    Ok(match &vetted.back {
        Some(back) => page_leading_to(page, &form_target(&back.uri)),
        None => page,
    })
}

/// Chromium keeps pages of `no-store` for its back button; this makes it drop them (checklist 76, ASVS 14.3.1).
const FORGET: [(HeaderName, &str); 1] = [(HeaderName::from_static("clear-site-data"), "\"cache\"")];

fn gone(back: Option<&Back>) -> Result<Response, PageError> {
    let response = match back {
        Some(back) => Redirect::to(&back.url()).into_response(),
        None => page(
            StatusCode::OK,
            &SignedOutPage {
                assets: assets_version(),
            },
        )?,
    };
    Ok((FORGET, response).into_response())
}

fn who(person: &SignIn) -> &str {
    let name = person.name.as_deref().or(person.email.as_deref());
    name.or(person.username.as_deref()).unwrap_or("yourself")
}

fn unreadable(error: FormError) -> PageError {
    PageError::new(
        error.status(),
        "We could not read that",
        "The application that sent you here made a mistake. You can sign out on your account page.",
    )
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        let told = match refusal {
            Refusal::Fault(fault) => return fault.into(),
            Refusal::OthersHint => {
                "The application that sent you here showed what another one was given. You can sign out on your account page."
            }
            Refusal::UnknownAddress => {
                "The application that sent you here wants you to go on to an address that it never told us of. You can sign out on your account page."
            }
        };
        Self::new(StatusCode::BAD_REQUEST, "You are still signed in", told)
    }
}
