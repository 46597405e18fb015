//! The protocol: distribution-spec 1.1, pull, push, content discovery and management.

mod blobs;
mod fault;
mod lists;
mod manifests;
mod route;
#[cfg(test)]
pub(super) mod soak;
mod uploads;

use super::http::answer::Answer;
use super::http::body::Body;
use super::http::request::Head;
use super::store::Store;

use fault::{Code, Fault};
use route::{Query, Route};

/// A request as the end-points see it.
struct Request<'r, 'i, 's> {
    store: &'r Store,
    head: &'r Head,
    query: Query,
    body: &'r mut Body<'i, 's>,
}

/// None when the client went away in the middle of its body.
pub(super) fn handle(store: &Store, head: &Head, body: &mut Body<'_, '_>) -> Option<Answer> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let query = Query::parse(query);
    let request = Request {
        store,
        head,
        query,
        body,
    };
    let outcome = route::route(path).and_then(|route| dispatch(request, &route));
    match outcome {
        Ok(answer) => Some(answer),
        Err(fault) if fault.is_disconnect() => None,
        Err(fault) => {
            if let Fault::Storage(error) = &fault {
                log::warn!("{} {}: {error}", head.method, head.target);
            }
            Some(fault.into_answer())
        }
    }
}

fn dispatch(mut request: Request<'_, '_, '_>, route: &Route) -> Result<Answer, Fault> {
    let request = &mut request;
    match (route, request.head.method.as_str()) {
        (Route::Ping, "GET" | "HEAD") => Ok(Answer::new(200).json(&serde_json::json!({}))),
        (Route::Catalog, "GET" | "HEAD") => lists::catalog(request),
        (Route::Tags(name), "GET" | "HEAD") => lists::tags(request, name),
        (Route::Referrers(name, subject), "GET" | "HEAD") => {
            lists::referrers(request, name, subject)
        }
        (Route::Manifest(name, reference), "GET" | "HEAD") => {
            manifests::get(request, name, reference)
        }
        (Route::Manifest(name, reference), "PUT") => manifests::put(request, name, reference),
        (Route::Manifest(name, reference), "DELETE") => manifests::delete(request, name, reference),
        (Route::Blob(name, digest), "GET" | "HEAD") => blobs::get(request, name, digest),
        (Route::Blob(name, digest), "DELETE") => blobs::delete(request, name, digest),
        (Route::Uploads(name), "POST") => uploads::open(request, name),
        (Route::Upload(name, session), "GET" | "HEAD") => uploads::status(request, name, session),
        (Route::Upload(name, session), "PATCH") => uploads::append(request, name, session),
        (Route::Upload(name, session), "PUT") => uploads::close(request, name, session),
        (Route::Upload(name, session), "DELETE") => uploads::cancel(request, name, session),
        _ => {
            let method = &request.head.method;
            let fault = Fault::new(Code::Unsupported, format!("no {method} here"));
            Err(fault.field("Allow", route.methods()))
        }
    }
}
