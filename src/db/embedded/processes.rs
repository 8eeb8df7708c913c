//! Which PostgreSQL processes work in a cluster's folder, as the kernel tells it: a pid file may name somebody else by now.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The processes whose working folder is the cluster's; the dead that nobody has reaped yet are not among them.
pub(super) fn working_in(data: &Path) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data))
        .filter(|pid| !is_zombie(*pid))
        .collect()
}

/// The running postmaster by its pid file.
pub(super) fn postmaster(data: &Path) -> Option<u32> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: u32 = file.lines().next()?.trim().parse().ok()?;
    let here = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    (here && !is_zombie(pid)).then_some(pid)
}

pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that has gone meanwhile has done what was wanted.
        let _ = kill_process(pid, signal);
    }
}

/// `/proc/PID/stat`: the state follows the name in parentheses.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
