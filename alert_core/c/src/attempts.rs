//! What upstreams did in one request, as callers tell it: attempt by attempt, or in the lists of nginx's variables.

use alert_core::observe::recorder::Attempt;

/// One attempt of which only this is known. Statuses 502 and 504 stand for what brought no answer.
pub fn attempt<'a>(address: Option<&'a [u8]>, pool: &'a [u8], status: u16, time_ms: u32) -> Attempt<'a> {
    let header_ms = (!matches!(status, 0 | 502 | 504)).then_some(time_ms);
    Attempt { address, status, connected: header_ms.is_some(), header_ms, response_ms: time_ms, pool, lies_at: 0 }
}

/// The attempts in `$upstream_addr`, `$upstream_status` and `$upstream_response_time`, those before an internal redirect
/// (which is where nginx writes " : ") included.
///
/// Source: `ngx_http_upstream_addr_variable()` and its neighbours.
pub fn from_nginx<'a>(
    addresses: &'a str,
    statuses: &'a str,
    times: &'a str,
) -> impl Iterator<Item = Attempt<'a>> + use<'a> {
    let (mut statuses_left, mut times_left) = (items(statuses), items(times));
    // An attempt that could not begin has no address, and no status.
    let stillborn = (addresses.is_empty() && statuses == "-").then(|| attempt(None, &[], 0, 0));
    let attempts = items(addresses).map(move |address| {
        // "-" is none.
        let status = statuses_left.next().and_then(|status| status.parse().ok()).unwrap_or(0);
        let time_ms = times_left.next().and_then(milliseconds).unwrap_or(0);
        attempt(Some(address.as_bytes()), &[], status, time_ms)
    });
    stillborn.into_iter().chain(attempts)
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(" : ").flat_map(|group| group.split(", ")).filter(|item| !item.is_empty())
}

/// Reads seconds with three decimals.
fn milliseconds(text: &str) -> Option<u32> {
    let (seconds, fraction) = text.split_once('.')?;
    let fraction: u32 = fraction.parse().ok().filter(|_| fraction.len() == 3)?;
    seconds.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(addresses: &str, statuses: &str, times: &str) -> Vec<(String, u16, u32)> {
        let attempts = from_nginx(addresses, statuses, times);
        let address = |attempt: &Attempt<'_>| String::from_utf8_lossy(attempt.address.unwrap_or(b"none")).into_owned();
        attempts.map(|attempt| (address(&attempt), attempt.status, attempt.response_ms)).collect()
    }

    #[test]
    fn the_lists_of_nginx_are_attempts() {
        assert_eq!(read("127.0.0.1:1", "200", "0.005"), [("127.0.0.1:1".into(), 200, 5)]);
        assert_eq!(
            read("127.0.0.1:1, unix:/a", "502, 200", "1.250, 0.000"),
            [("127.0.0.1:1".into(), 502, 1250), ("unix:/a".into(), 200, 0)]
        );
        assert_eq!(read("app", "502", "-"), [("app".into(), 502, 0)], "no live upstreams");
        assert_eq!(read("[::1]:1, b:2", "-, -", "-, -"), [("[::1]:1".into(), 0, 0), ("b:2".into(), 0, 0)]);
        assert_eq!(read("", "-", "-"), [("none".into(), 0, 0)], "it could not begin");
    }

    #[test]
    fn what_lies_before_an_internal_redirect_counts_too() {
        assert_eq!(
            read("a:1, b:2 : c:3", "502, 503 : 200", "0.001, 0.003 : 0.002"),
            [("a:1".into(), 502, 1), ("b:2".into(), 503, 3), ("c:3".into(), 200, 2)]
        );
        assert_eq!(read("a:1 : ", "200 : ", "0.001 : "), [("a:1".into(), 200, 1)]);
        assert_eq!(read("", "", ""), []);
    }

    #[test]
    fn lists_that_do_not_fit_each_other_are_read_as_far_as_they_do() {
        assert_eq!(read("a:1, b:2", "502", "soon, 99999999.000"), [("a:1".into(), 502, 0), ("b:2".into(), 0, 0)]);
    }
}
