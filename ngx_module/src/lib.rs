//! ngx_module
