//! A cycle: a configuration with everything that nginx has opened for it.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ngx::ffi::{ngx_cycle, ngx_cycle_t};
use ngx::http::{HttpModule, HttpModuleMainConf};

use super::log::Log;

/// A cycle.
#[derive(Clone, Copy)]
pub struct Cycle<'a>(NonNull<ngx_cycle_t>, PhantomData<&'a ngx_cycle_t>);

impl<'a> Cycle<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live for `'a`.
    pub unsafe fn new(raw: *mut ngx_cycle_t) -> Self {
        // SAFETY: live by contract.
        Cycle(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    /// Does something with the cycle in force.
    pub fn in_force<T>(body: impl FnOnce(Cycle<'_>) -> T) -> T {
        // SAFETY: there is a cycle from the start of nginx's `main` on; another one takes its place only between two
        // calls of a module.
        body(unsafe { Cycle::new(ngx_cycle) })
    }

    /// The raw pointer, for the other files of this border.
    pub(super) fn raw(self) -> *mut ngx_cycle_t {
        self.0.as_ptr()
    }

    /// Its error log.
    pub fn log(self) -> Log<'a> {
        // SAFETY: the cycle is live, and its log as long.
        unsafe { Log::new((*self.0.as_ptr()).log) }
    }

    /// The module's configuration of the http level; `None` without such a level, or without the module.
    pub fn main_conf<M: HttpModuleMainConf<MainConf: 'static>>(self) -> Option<&'a M::MainConf> {
        if !self.has::<M>() {
            return None;
        }
        // SAFETY: the cycle is live, and its configurations as long.
        M::main_conf(unsafe { self.0.as_ref() })
    }

    /// Whether its configuration has the module. In single-process mode a reload can do without, and tells nobody.
    pub fn has<M: HttpModule>(self) -> bool {
        // SAFETY: a cycle has a list of modules that ends with null, and before the first configuration none.
        unsafe {
            let mut modules = (*self.0.as_ptr()).modules;
            while let Some(module) = modules.as_ref().filter(|module| !module.is_null()) {
                if ptr::eq(*module, M::module()) {
                    return true;
                }
                modules = modules.add(1);
            }
        }
        false
    }
}
