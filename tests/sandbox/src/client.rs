//! The few HTTP calls that the sandbox makes itself.

use std::time::Duration;

use ureq::Body;
use ureq::http::Response;

/// Everything called is on this machine. What takes as long as this is what a user would call dead.
const TIMEOUT: Duration = Duration::from_secs(11);

/// An agent that opens a connection for each request, so that requests spread over nginx's workers, and that takes
/// an error status for an answer.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_idle_connections(0)
        .proxy(None)
        .build()
        .new_agent()
}

/// `GET url`, whatever the status of the answer.
pub(crate) fn get(url: &str) -> Result<Response<Body>, ureq::Error> {
    agent().get(url).call()
}

/// `POST url` with an empty body, whatever the status of the answer.
pub(crate) fn post(url: &str) -> Result<Response<Body>, ureq::Error> {
    agent().post(url).send_empty()
}
