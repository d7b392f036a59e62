//! What a job's containers may do and use at the most.

use bollard::models::HostConfig;

use super::Engine;

/// What root of a container may do (capabilities(7)): what installing packages, giving files
/// away, changing users, and ending what others have started take. Of what engines give by
/// themselves MKNOD, NET_RAW and SETPCAP are left out: a job makes no devices, and sends no
/// packets under another's name.
const CAPABILITIES: [&str; 11] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Bytes of memory, none of it swapped; none: four fifths of the engine's.
    pub memory: Option<u64>,
    /// Thousandths of a processor; none: all there are.
    pub cpus: Option<u64>,
    /// Processes and threads; a fork bomb must not take the host.
    pub pids: u64,
}

impl Engine {
    /// What holds a container of a job within its limits. The engine's own filter of system
    /// calls is left as it is, and nothing of its machine is shared.
    pub(super) fn bounds(&self, limits: ContainerLimits, no_new_privileges: bool) -> HostConfig {
        let memory = limits.memory.unwrap_or(self.memory / 5 * 4);
        let memory = i64::try_from(memory).unwrap_or(i64::MAX);
        HostConfig {
            // Reaps orphans and hands signals on, whatever the script is.
            init: Some(true),
            pids_limit: i64::try_from(limits.pids).ok(),
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: limits.cpus.and_then(|milli| i64::try_from(milli * 1_000_000).ok()),
            log_config: Some(self.product.log_config()),
            privileged: Some(false),
            cap_drop: Some(vec!["ALL".into()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).into()),
            security_opt: no_new_privileges.then(|| vec!["no-new-privileges".into()]),
            ..Default::default()
        }
    }
}

/// Of a container in which nothing runs.
pub(super) fn probe_bounds() -> HostConfig {
    HostConfig {
        network_mode: Some("none".into()),
        cap_drop: Some(vec!["ALL".into()]),
        ..Default::default()
    }
}
