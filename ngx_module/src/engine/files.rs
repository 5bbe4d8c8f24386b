//! The files that workers need, checked while a configuration is read: as the user that they run as.

use std::io::ErrorKind;
use std::path::Path;

use alert_core::base::cause::reason;
use alert_core::base::file::Owner;
use alert_core::persist::state_file::StateFile;

use crate::config::Configuration;
use crate::nginx::conf::Place;
use crate::nginx::core_conf::{Access, CoreConf, WorkerUser, workers_access};
use crate::nginx::log::{Log, Severity};
use crate::nginx::process::{self, Purpose};

/// Warns of files that switch maintenance on and that workers would never see.
pub fn warn_of_maintenance(configuration: &Configuration, core: CoreConf<'_>, log: Log<'_>) {
    let user = core.worker_user();
    for (path, Place { file, line }) in &configuration.maintenance_files {
        let Err(error) = workers_access(path, user.as_ref(), Access::Look) else { continue };
        // It is to come and go.
        if error.kind() != ErrorKind::NotFound {
            let (who, path, cause) = (name_of(user.as_ref()), path.display(), reason(&error));
            let text = format!("the file \"{path}\" of \"maintenance\" has no effect, {who} cannot see it: {cause}");
            log.write_raw(Severity::Warn, &format!("{text} in {file}:{line}"));
        }
    }
}

/// Sees to it that workers can save the state. A configuration that is only tested changes nothing.
///
/// # Errors
/// Why they could not, and where that is written.
pub fn prepare_state(configuration: &Configuration, core: CoreConf<'_>) -> Result<(), String> {
    let Some(file) = configuration.settings.state.clone().map(StateFile::new) else { return Ok(()) };
    let Place { file: conf, line } = &configuration.state_place;
    prepare(&file, core).map_err(|cause| format!("\"alert_state\" cannot be used, {cause} in {conf}:{line}"))
}

fn prepare(file: &StateFile, core: CoreConf<'_>) -> Result<(), String> {
    let user = core.worker_user();
    let owner = user.as_ref().map(|user| Owner { uid: user.uid, gid: user.gid });
    file.prepare(owner, process::purpose() != Purpose::Serve)?;
    let directory = file.directory();
    if !directory.exists() {
        // It was only looked whether it could be made: by this user, who starts nginx.
        let above = directory.parent().unwrap_or(Path::new("/"));
        let made = workers_access(above, None, Access::MakeFiles);
        return made.map_err(|error| format!("\"{}\" cannot be made: {}", directory.display(), reason(&error)));
    }
    let written = workers_access(directory, user.as_ref(), Access::MakeFiles);
    written.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            let (who, directory) = (name_of(user.as_ref()), directory.display());
            let hint = "give the file a directory of its own, which nginx makes";
            format!("{who} cannot write to \"{directory}\", {hint}, such as \"{directory}/alert/state\"")
        }
        _ => format!("\"{}\": {}", directory.display(), reason(&error)),
    })
}

fn name_of(user: Option<&WorkerUser<'_>>) -> String {
    user.map_or("this user".into(), |user| format!("user \"{}\", as which workers run,", user.name()))
}
