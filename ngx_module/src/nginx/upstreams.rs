//! The servers that nginx may ask, as far as its configuration names them.

use ngx::ffi::{ngx_addr_t, ngx_http_upstream_server_t, ngx_http_upstream_srv_conf_t};
use ngx::http::{HttpModuleMainConf, NgxHttpUpstreamModule};

use super::bytes_of;
use super::conf::Conf;

impl Conf<'_> {
    /// The addresses of all servers of all upstreams, as nginx will name them when it connects. To be asked once all of
    /// the http level is read. Hosts that are looked up for each request are not among them.
    pub fn upstream_addresses(&self) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        // SAFETY: the configuration of the upstreams is live and complete: an array of pointers to upstreams, each with an
        // array of servers or null, each of which has `naddrs` addresses.
        unsafe {
            let Some(main) = NgxHttpUpstreamModule::main_conf(&*self.raw()) else { return found };
            let upstreams = main.upstreams.elts.cast::<*mut ngx_http_upstream_srv_conf_t>();
            for upstream in elements(upstreams, main.upstreams.nelts) {
                let Some(servers) = (**upstream).servers.as_ref() else {
                    // A host behind `proxy_pass` that has several addresses.
                    let host = text(bytes_of(&(**upstream).host));
                    found.extend(self.resolve(&format!("{host}:{}", (**upstream).port)).unwrap_or_default());
                    continue;
                };
                for server in elements(servers.elts.cast::<ngx_http_upstream_server_t>(), servers.nelts) {
                    let addresses: &[ngx_addr_t] = elements(server.addrs, server.naddrs);
                    found.extend(addresses.iter().map(|address| text(bytes_of(&address.name))));
                }
            }
        }
        found
    }
}

/// # Safety
/// There are so many live elements, which nobody changes meanwhile.
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    // SAFETY: by contract.
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } }
}
