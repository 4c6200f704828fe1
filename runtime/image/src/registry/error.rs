//! Answers of a registry that are errors, in words.

use std::error::Error as _;

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::Registry;
use crate::error::PullErrorKind;
use crate::limits;

#[derive(Deserialize)]
struct Body {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// An error and its causes, without the URL: that may hold a signature.
pub(super) fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl Registry {
    pub(super) fn unreachable(&self, error: reqwest::Error) -> PullErrorKind {
        PullErrorKind::Unreachable { registry: self.host().to_owned(), why: words(error) }
    }

    pub(super) fn protocol(&self, why: String) -> PullErrorKind {
        PullErrorKind::Protocol { registry: self.host().to_owned(), why }
    }

    pub(super) async fn check_status(&self, response: Response, path: &str) -> Result<Response, PullErrorKind> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let registry = self.host().to_owned();
        let said = self.said(response).await;
        Err(match status {
            StatusCode::NOT_FOUND => {
                let what = format!("{path} of {} in {registry}", self.inner.reference.repository());
                PullErrorKind::NotFound { what }
            }
            StatusCode::TOO_MANY_REQUESTS => PullErrorKind::TooManyRequests { registry, why: said },
            status if status.is_server_error() => {
                PullErrorKind::Unreachable { registry, why: format!("it answered {status}{said}") }
            }
            status => PullErrorKind::Protocol { registry, why: format!("{status}{said}") },
        })
    }

    /// What the body of an error says, cut to a line, with a colon before it; empty when it says nothing.
    async fn said(&self, response: Response) -> String {
        let Ok(bytes) = self.body(response, "error", limits::SMALL_BODY_BYTES).await else { return String::new() };
        let Ok(body) = serde_json::from_slice::<Body>(&bytes) else { return String::new() };
        let Some(entry) = body.errors.first() else { return String::new() };
        let text = format!(": {} {}", entry.code, entry.message);
        text.chars().filter(|letter| !letter.is_control()).take(200).collect()
    }
}
