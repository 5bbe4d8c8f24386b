//! What upstreams did in one request, as callers tell it: attempt by attempt, or in the lists of nginx's variables.

/// One upstream attempt. What is not known is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Address of the server, as nginx writes it.
    pub address: &'a [u8],
    /// Name of its pool.
    pub pool: &'a [u8],
    /// Status, zero where there was none.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub time_ms: u32,
}

/// The attempts in `$upstream_addr`, `$upstream_status` and `$upstream_response_time`: those after the last internal
/// redirect, which is where nginx writes " : ".
///
/// Source: `ngx_http_upstream_addr_variable()` and its neighbours.
pub fn from_nginx<'a>(
    addresses: &'a str,
    statuses: &'a str,
    times: &'a str,
) -> impl Iterator<Item = Attempt<'a>> + use<'a> {
    let [addresses, statuses, times] = [addresses, statuses, times].map(last_group);
    let (mut statuses, mut times) = (statuses.split(", "), times.split(", "));
    addresses.split(", ").filter(|address| !address.is_empty()).map(move |address| Attempt {
        address: address.as_bytes(),
        pool: &[],
        // "-" is none.
        status: statuses.next().and_then(|status| status.parse().ok()).unwrap_or(0),
        time_ms: times.next().and_then(milliseconds).unwrap_or(0),
    })
}

fn last_group(list: &str) -> &str {
    list.rsplit_once(" : ").map_or(list, |(_, last)| last)
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
        attempts.map(|a| (String::from_utf8_lossy(a.address).into_owned(), a.status, a.time_ms)).collect()
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
    }

    #[test]
    fn only_what_follows_the_last_internal_redirect_counts() {
        assert_eq!(read("a:1, b:2 : c:3", "502, 502 : 200", "0.001, 0.001 : 0.002"), [("c:3".into(), 200, 2)]);
        assert_eq!(read("a:1 : ", "200 : ", "0.001 : "), []);
        assert_eq!(read("", "", ""), []);
    }

    #[test]
    fn lists_that_do_not_fit_each_other_are_read_as_far_as_they_do() {
        assert_eq!(read("a:1, b:2", "502", "soon, 99999999.000"), [("a:1".into(), 502, 0), ("b:2".into(), 0, 0)]);
    }
}
