//! How a finished request ended: whether its answer was broken off, and by whom; and where nginx ended one for which it asked
//! nobody.

use ngx::ffi::{
    ngx_http_core_access_phase, ngx_http_core_loc_conf_t as LocationConf, ngx_http_core_post_rewrite_phase,
};
use ngx::http::{HttpModule as _, HttpModuleMainConf as _, NgxHttpCoreModule};

use super::{LoggedRequest, NO_HEADER, UNKNOWN_LENGTH};

impl LoggedRequest<'_> {
    /// Whether the upstream broke off its answer, as opposed to the client, which may have gone away meanwhile. A connection
    /// that was upgraded ends in no particular way.
    pub fn is_cut(self) -> bool {
        let Some(upstream) = self.upstream().filter(|upstream| upstream.upgrade() == 0) else { return false };
        // A connection is kept alive for the next request only once all of the answer came.
        if self.get().header_only() != 0 || upstream.keepalive() != 0 && self.get().request_complete() != 0 {
            return false;
        }
        // SAFETY: a request has a live connection.
        let connection = unsafe { &*self.get().connection };
        let client_is_there = connection.error() == 0 && connection.timedout() == 0;
        if client_is_there && (self.was_ended_within() || self.is_short() || self.status() == NO_HEADER) {
            return true;
        }
        if self.has_kept_header() {
            return false;
        }
        // SAFETY: the pipe is null or lives as long as the request.
        match unsafe { upstream.pipe.as_ref() }.filter(|_| upstream.buffering() != 0) {
            Some(pipe) => {
                let ended = pipe.upstream_eof() != 0 || pipe.upstream_error() != 0;
                ended && pipe.upstream_done() == 0 && (pipe.upstream_error() != 0 || pipe.length != UNKNOWN_LENGTH)
            }
            // Passed on as it comes: where the client is there and not all of it came, it was the upstream.
            None => client_is_there && upstream.length > 0,
        }
    }

    /// Whether nginx ended it in the middle of the answer: what came was not valid, or one of its parts (a slice) failed.
    pub(super) fn was_ended_within(self) -> bool {
        self.get().header_sent() != 0 && self.get().request_complete() == 0
    }

    /// Whether the client got less than the header promised. With FastCGI nginx does not mind.
    fn is_short(self) -> bool {
        let request = self.get();
        // SAFETY: a request has a live connection.
        let sent = unsafe { (*request.connection).sent } - request.header_size as i64;
        request.header_sent() != 0 && sent < request.headers_out.content_length_n
    }

    /// Whether it would have been passed on by its location, and something before that ended it: what decides about access
    /// (an authorisation service, say), or a rewrite that found no end. Limits and `return` have phases of their own.
    pub(super) fn was_kept_from_content(self) -> bool {
        // SAFETY: nginx gives every location a configuration of its core module, and the http level as well; a request is
        // in a phase of the engine, whose list has a handler for it.
        let (location, phase) = unsafe {
            let location = *self.get().loc_conf.add(NgxHttpCoreModule::module().ctx_index);
            let Some(main) = NgxHttpCoreModule::main_conf(self.get()) else { return false };
            let phase = &*main.phase_engine.handlers.add(self.get().phase_handler as usize);
            (&*location.cast::<LocationConf>(), phase.checker)
        };
        let decisive = [ngx_http_core_access_phase as *const (), ngx_http_core_post_rewrite_phase as *const ()];
        // Few modules that answer by themselves ask for this; a location of files and one with `return` do not.
        location.handler.is_some() && phase.is_some_and(|checker| decisive.contains(&(checker as *const ())))
    }
}
