//! The module's variables as nginx asks for them.

use std::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_NOCACHEABLE, ngx_conf_t, ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t,
    ngx_int_t, ngx_pnalloc, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf};

use super::module::Module;
use crate::variable::Variable;

/// Makes the variables known. Returns whether nginx took them.
///
/// # Safety
/// `cf` is live.
pub unsafe fn add_variables(cf: *mut ngx_conf_t) -> bool {
    Variable::ALL.iter().enumerate().all(|(number, variable)| {
        // SAFETY: the configuration is live; the name is copied to its pool, and nginx returns a variable or null.
        unsafe {
            let mut name = ngx_str_t::from_str((*cf).pool, variable.name());
            let Some(added) = ngx_http_add_variable(cf, &mut name, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t).as_mut()
            else {
                return false;
            };
            added.get_handler = Some(get_variable);
            added.data = number;
            true
        }
    })
}

/// Called by nginx for the value of a variable, by its number.
extern "C" fn get_variable(r: *mut ngx_http_request_t, v: *mut ngx_http_variable_value_t, number: usize) -> ngx_int_t {
    // SAFETY: nginx passes a live request with a live connection.
    let log = unsafe { (*(*r).connection).log };
    super::guarded(log, Status::NGX_ERROR.0, || {
        // SAFETY: the request and the value are live; each module has a configuration in both tables, and that of the
        // location was made by `create_loc_conf`.
        let (value, configuration, watch, pool) = unsafe {
            let (request, at) = (&*r, Module::module().ctx_index);
            let location = &*(*request.loc_conf.add(at)).cast::<<Module as HttpModuleLocationConf>::LocationConf>();
            let main: *const () = (*request.main_conf.add(at)).cast();
            (&mut *v, main, location.monitor, request.pool)
        };
        let text = Variable::ALL.get(number).and_then(|variable| variable.value(configuration, watch));
        let Some(text) = text else {
            value.set_not_found(1);
            return Status::NGX_OK.0;
        };
        // SAFETY: the pool is live and gives that many bytes or null.
        value.data = unsafe {
            let copy = ngx_pnalloc(pool, text.len()).cast::<u8>();
            if copy.is_null() {
                return Status::NGX_ERROR.0;
            }
            ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
            copy
        };
        value.set_len(text.len() as u32);
        value.set_valid(1);
        value.set_no_cacheable(1);
        value.set_not_found(0);
        Status::NGX_OK.0
    })
}
