//! Where a run took place, without which its figures say little.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::nginx;

use crate::rig::vts_source;

/// One line on each thing that the figures depend on.
pub fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let mut rows = vec![
        ("date", output("date", &["-u", "+%Y-%m-%d"])),
        ("revision", output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])),
        ("processor", format!("{} × {}", models.len(), models.first().unwrap_or(&"unknown"))),
        ("memory", format!("{:.0} GiB", kilobytes.unwrap_or_default() / (1024.0 * 1024.0))),
        ("kernel", output("uname", &["-sr"])),
        ("system", release()),
        ("nginx", output(&nginx::binary().to_string_lossy(), &["-v"])),
        ("valgrind", output("valgrind", &["--version"])),
        ("Rust", output("rustc", &["--version"])),
    ];
    rows.extend(vts_source().map(|source| ("nginx-module-vts", vts_version(&source))));
    rows.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
}

fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// As the module's header has it.
fn vts_version(source: &Path) -> String {
    let text = fs::read_to_string(source.join("src/ngx_http_vhost_traffic_status_module.h")).unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("#define NGX_HTTP_VTS_MODULE_VERSION "));
    version.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// The first line that a program prints; nginx prints its version where errors go.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let bytes = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or("unknown").to_owned()
}
