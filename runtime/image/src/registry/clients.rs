//! The HTTP clients, made when first needed.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// Redirects that one request may follow.
const REDIRECTS: usize = 10;

/// One client for all registries, and one that never uses a proxy for those on this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    made: Arc<Mutex<Vec<(Kind, Client)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    loopback: bool,
    connect: Duration,
}

impl Clients {
    pub(super) fn get(&self, url: &str, connect: Duration) -> reqwest::Result<Client> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(is_loopback));
        let kind = Kind { loopback: host.unwrap_or(false), connect };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = made.iter().find(|(other, _)| *other == kind) {
            return Ok(client.clone());
        }
        let client = build(kind)?;
        made.push((kind, client.clone()));
        Ok(client)
    }
}

fn build(kind: Kind) -> reqwest::Result<Client> {
    // Refused when the process has a provider already: then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = Policy::custom(|attempt| {
        let downgrade = attempt.url().scheme() != "https"
            && attempt.previous().last().is_some_and(|previous| previous.scheme() == "https");
        if downgrade {
            attempt.error("a redirect from https to http is not followed")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("nacelle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(kind.connect)
        .referer(false)
        .redirect(redirects);
    let builder = if kind.loopback { builder.no_proxy() } else { builder };
    builder.build()
}

/// Whether `host[:port]` is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.1.2.3", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.io", "127.0.0.1.evil.io", "10.0.0.1", "r.io", "[::2]", "::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
