//! Shared memory of all processes.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;

use alert_core::board::region::Region;
use ngx::core::Status;
use ngx::ffi::{
    ngx_core_conf_t, ngx_int_t, ngx_list_part_t, ngx_pagesize, ngx_palloc, ngx_shared_memory_add, ngx_shm_zone_t,
    ngx_slab_alloc, ngx_slab_page_t, ngx_slab_pool_t, ngx_uint_t,
};
use ngx::http::HttpModuleMainConf;

use super::conf::{Conf, Mistake};
use super::core_conf::CoreConf;
use super::cycle::Cycle;
use super::log::{Log, Severity};
use super::{bytes_of, guarded, process};

/// A function that nginx calls when a zone is mapped.
pub type Init = unsafe extern "C" fn(*mut ngx_shm_zone_t, *mut c_void) -> ngx_int_t;

/// What a zone is added with. Lies in the pool of the configuration, as what it points to.
struct Added {
    conf: *const c_void,
    core: *mut ngx_core_conf_t,
}

/// A zone that nginx has mapped: a new one, or that of the configuration before.
pub struct Zone<'a>(NonNull<ngx_shm_zone_t>, PhantomData<&'a mut ngx_shm_zone_t>);

impl<'a> Conf<'a> {
    /// Asks nginx for a zone of this name and size, whose `init` gets the module's configuration of the http level.
    ///
    /// # Errors
    /// nginx refuses it: it is another module's, or has another size already.
    pub fn add_zone<M: HttpModuleMainConf<MainConf: 'static>>(
        &mut self,
        name: &str,
        size: usize,
        init: Init,
    ) -> Result<(), Mistake> {
        let (conf, core) = (self.main_conf::<M>(), self.core().as_ptr());
        let mut name = self.copy(name);
        // SAFETY: the configuration is live. The tag is the address of the module's table, which tells this zone from
        // those of other modules and stays the same across reloads. nginx returns a zone of its own or null, and a piece
        // of its pool or null.
        unsafe {
            let tag = (&raw const *M::module()).cast_mut().cast();
            let zone = ngx_shared_memory_add(self.raw(), &mut name, size, tag);
            let added = ngx_palloc((*self.raw()).pool, size_of::<Added>()).cast::<Added>();
            if zone.is_null() || added.is_null() {
                return Err(Mistake::Logged);
            }
            added.write(Added { conf: (&raw const *conf).cast(), core });
            ((*zone).init, (*zone).data) = (Some(init), added.cast());
        }
        Ok(())
    }
}

impl<'a> Zone<'a> {
    /// Does what the `init` of a zone is for. The configuration is the one that the zone was added with.
    ///
    /// # Safety
    /// `raw` is a mapped zone that was added for this module and is live for `'a`.
    pub unsafe fn init<M: HttpModuleMainConf>(
        raw: *mut ngx_shm_zone_t,
        body: impl FnOnce(&mut Zone<'a>, &'a M::MainConf) -> Result<(), String>,
    ) -> ngx_int_t
    where
        M::MainConf: 'a,
    {
        // SAFETY: live by contract, and so is what the zone was added with.
        let (mut zone, conf) = unsafe {
            let added = (*raw).data.cast::<Added>();
            (Zone(NonNull::new_unchecked(raw), PhantomData), &*(*added).conf.cast::<M::MainConf>())
        };
        let log = zone.log();
        guarded(log, Status::NGX_ERROR.0, || match body(&mut zone, conf) {
            Ok(()) => Status::NGX_OK.0,
            Err(text) => {
                log.write_raw(Severity::Emergency, &text);
                Status::NGX_ERROR.0
            }
        })
    }

    /// The error log of the configuration that the zone is mapped for.
    pub fn log(&self) -> Log<'a> {
        // SAFETY: the log of the mapping is that of the cycle, which is live.
        unsafe { Log::new(self.0.as_ref().shm.log) }
    }

    /// nginx's own configuration, complete by now: the user of the workers is known, unlike when directives are read.
    pub fn core(&self) -> CoreConf<'a> {
        // SAFETY: it is of the cycle that the zone was added for, which is live.
        unsafe { CoreConf::new((*self.0.as_ref().data.cast::<Added>()).core) }
    }

    /// The memory for the board: all pages of the zone, taken once as a single piece, so that nginx's allocator and its
    /// lock are out of the game from then on. Its first `cleared` bytes are zero where it is new; all else is nobody's.
    ///
    /// In a process that stays single it is as much memory of its own: a reload that drops the zone unmaps it there
    /// while the threads run, before anybody can stop them. The zone only says where that memory is.
    pub fn region(&mut self, cleared: usize) -> Option<Region> {
        let single = process::stays_single(self.core());
        // SAFETY: nginx has prepared the slab pool at the start of the zone.
        let pool = unsafe { &mut *self.0.as_ref().shm.addr.cast::<ngx_slab_pool_t>() };
        // SAFETY: both point into the same table of pages.
        let pages = unsafe { pool.last.offset_from(pool.pages) };
        let bytes = usize::try_from(pages).ok()? * page_bytes();
        if pool.data.is_null() && single {
            pool.data = vec![0_u64; bytes / size_of::<u64>()].leak().as_mut_ptr().cast();
        } else if pool.data.is_null() {
            // SAFETY: the pool is prepared, and nobody else allocates from it. Out of memory gives null.
            pool.data = unsafe { ngx_slab_alloc(pool, bytes) };
            let base = NonNull::new(pool.data.cast::<u8>())?;
            // SAFETY: the piece has this many bytes and nobody uses it yet. An nginx for debugging fills it with junk.
            unsafe { base.write_bytes(0, bytes.min(cleared)) };
        }
        let base = NonNull::new(pool.data.cast::<u8>())?;
        // SAFETY: the piece is aligned, has this many bytes, and is of this process for good or stays mapped as long as
        // this zone, which outlives the processes that use it.
        Some(unsafe { Region::new(base, bytes) })
    }
}

impl Cycle<'_> {
    /// The memory that a module took as a single piece of the zone with this name: this module, or one of another build,
    /// whose zone is not handed on. What lies in it is for the caller to find out.
    pub fn zone_memory(self, name: &str) -> Option<Region> {
        // SAFETY: a live cycle has a list of zones, each of which is mapped and begins with its pool.
        unsafe {
            let mut part: *const ngx_list_part_t = &(*self.raw()).shared_memory.part;
            while let Some(zones) = part.as_ref() {
                for at in 0..zones.nelts {
                    let zone = &*zones.elts.cast::<ngx_shm_zone_t>().add(at);
                    if bytes_of(&zone.shm.name) == name.as_bytes() && !zone.shm.addr.is_null() {
                        return memory_of(&*zone.shm.addr.cast::<ngx_slab_pool_t>());
                    }
                }
                part = zones.next;
            }
        }
        None
    }
}

/// The memory within a zone that its module has noted, up to the end of the zone. A single process has it elsewhere, and
/// goes on with what it has.
fn memory_of(pool: &ngx_slab_pool_t) -> Option<Region> {
    let (base, end) = (pool.data.cast::<u8>(), pool.end);
    let is_within = (pool.start..end).contains(&base) && base.cast::<u64>().is_aligned();
    // SAFETY: from here to its end the zone is mapped, and stays so while its workers run.
    is_within.then(|| unsafe { Region::new(NonNull::new_unchecked(base), end.offset_from(base) as usize) })
}

fn page_bytes() -> ngx_uint_t {
    // SAFETY: set by nginx before it reads the configuration.
    unsafe { ngx_pagesize }
}

/// The size of a zone that has room for this many bytes: nginx keeps a table of the pages in the zone itself, and aligns
/// them behind it.
pub fn zone_bytes(needed: usize) -> usize {
    let page = page_bytes();
    let pages = needed.div_ceil(page);
    (pages * (page + size_of::<ngx_slab_page_t>())).next_multiple_of(page) + 2 * page
}
