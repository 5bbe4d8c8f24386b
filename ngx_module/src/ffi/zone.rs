//! The shared memory zone that holds the board.

use std::ffi::c_void;
use std::ptr::{NonNull, addr_of};

use alert_core::board::region::Region;
use ngx::core::Status;
use ngx::ffi::{
    NGX_LOG_EMERG, ngx_int_t, ngx_pagesize, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_alloc, ngx_slab_page_t,
    ngx_slab_pool_t, ngx_str_t, ngx_uint_t,
};

use super::conf::Conf;
use super::module::ngx_http_alert_module;
use crate::conf::{MainConf, Place};

impl Conf {
    /// Asks nginx for a zone of this name and size, to be given to `main` when it is there.
    ///
    /// # Errors
    /// nginx refused it and has logged why.
    pub fn add_zone(&mut self, name: &str, size: usize, main: &mut MainConf) -> Result<(), String> {
        // SAFETY: the configuration is live; the name is copied to its pool. The tag is the address of the module's
        // table, which tells this zone from those of other modules and stays the same across reloads.
        let zone = unsafe {
            let mut name = ngx_str_t::from_str((*self.raw()).pool, name);
            ngx_shared_memory_add(self.raw(), &mut name, size, addr_of!(ngx_http_alert_module).cast_mut().cast())
        };
        // SAFETY: nginx returns a zone of its own or null.
        let Some(zone) = (unsafe { zone.as_mut() }) else { return Err(String::new()) };
        zone.init = Some(init_zone);
        zone.data = (&raw mut *main).cast();
        Ok(())
    }
}

/// The size of a zone that has room for this many bytes: nginx keeps a table of the pages in the zone itself, and aligns
/// them behind it.
pub fn zone_bytes(needed: usize) -> usize {
    // SAFETY: set by nginx before it reads the configuration.
    let page = unsafe { ngx_pagesize };
    let pages = needed.div_ceil(page);
    (pages * (page + size_of::<ngx_slab_page_t>())).next_multiple_of(page) + 2 * page
}

/// Called by nginx when the zone is mapped: a new one, or that of the configuration before.
extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, _previous: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx passes a zone that it has mapped and whose slab pool it has prepared.
    let (zone, pool) = unsafe { (&*zone, &mut *(*zone).shm.addr.cast::<ngx_slab_pool_t>()) };
    // SAFETY: the log of the mapping is that of the cycle, which is live.
    let log = zone.shm.log;
    super::guarded(log, Status::NGX_ERROR.0, || {
        // SAFETY: `add_zone` put the configuration there, which lives as long as its cycle.
        let main = unsafe { &mut *zone.data.cast::<MainConf>() };
        let single = main.core.is_some_and(super::process::stays_single);
        let opened = match region(pool, single) {
            Some(region) => crate::engine::reserve(main, region),
            None => Err("is too small".to_string()),
        };
        let opened = opened.map_err(|cause| {
            let place = main.zone.place.as_ref().map(|Place { file, line }| format!(" in {file}:{line}"));
            format!("alert_zone \"{}\" {cause}{}", main.zone.name, place.unwrap_or_default())
        });
        // The user of the workers is known by now, unlike when the directive was read.
        let prepared = opened.and_then(|()| {
            crate::engine::prepare_state(main).map_err(|cause| {
                let Place { file, line } = main.state.clone().unwrap_or_default().1;
                format!("\"alert_state\" cannot be used, {cause} in {file}:{line}")
            })
        });
        match prepared {
            Ok(()) => Status::NGX_OK.0,
            Err(text) => {
                // SAFETY: the log is live; the text is passed with its length.
                unsafe { ngx::log::log_error(NGX_LOG_EMERG as ngx_uint_t, log, 0, text.as_bytes()) };
                Status::NGX_ERROR.0
            }
        }
    })
}

/// The memory for the board: all pages of the zone, taken once as a single piece, so that nginx's allocator and its
/// lock are out of the game from then on.
///
/// Where there is a `single` process, as much memory of its own: a reload that drops the zone unmaps it there while the
/// threads run, before anybody can stop them. The zone only says where that memory is.
fn region(pool: &mut ngx_slab_pool_t, single: bool) -> Option<Region> {
    // SAFETY: both point into the same table of pages.
    let pages = unsafe { pool.last.offset_from(pool.pages) };
    // SAFETY: set by nginx before it reads the configuration.
    let bytes = usize::try_from(pages).ok()? * unsafe { ngx_pagesize };
    if pool.data.is_null() && single {
        pool.data = vec![0_u64; bytes / size_of::<u64>()].leak().as_mut_ptr().cast();
    } else if pool.data.is_null() {
        // SAFETY: the pool is prepared, and nobody else allocates from it. Out of memory gives null.
        pool.data = unsafe { ngx_slab_alloc(pool, bytes) };
        let base = NonNull::new(pool.data.cast::<u8>())?;
        // SAFETY: the piece has this many bytes and nobody uses it yet.
        unsafe { base.write_bytes(0, bytes) };
    }
    let base = NonNull::new(pool.data.cast::<u8>())?;
    // SAFETY: the piece is aligned, has this many bytes, and is of this process for good or stays mapped as long as
    // this zone, which outlives the processes that use it.
    Some(unsafe { Region::new(base, bytes) })
}
