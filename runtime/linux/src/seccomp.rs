//! System call filters: from a profile to the kernel's programs.
//!
//! libcontainer, built without a C library, passes a profile over without a word. So a filter is compiled here, before the
//! container is made, and installed by the process that becomes it ([`executor`](crate::monitor)).
//!
//! A profile gives each rule an action; one of the kernel's programs here knows two. So there is a program that lets
//! through what any rule is about and does the default to all else, and one for each further action. Of several programs
//! the kernel takes the strictest answer, of equally strict ones the one of the latest program.

mod default;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Component, Path};
use std::str::FromStr as _;

use libcontainer::oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use nacelle_container::SecurityProfile;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use syscalls::Sysno;

use crate::spec::Capabilities;

/// The most bytes of a profile.
const MAX_PROFILE: u64 = 1 << 20;

/// A filter cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    #[error("securityContext.seccompProfile.localhostProfile: {0:?} must be a relative path without '..'")]
    BadName(String),
    #[error("securityContext.seccompProfile.localhostProfile: cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("securityContext.seccompProfile.localhostProfile: {path}: {reason}")]
    BadProfile { path: String, reason: String },
    #[error("cannot make a system call filter: {0}")]
    Compile(String),
}

/// The programs of a container's filter, in the order in which they are installed. None when it is not confined.
pub(crate) fn programs(
    profile: &SecurityProfile,
    capabilities: &Capabilities,
    profiles: &Path,
) -> Result<Vec<BpfProgram>, SeccompError> {
    match profile {
        SecurityProfile::Unconfined => Ok(Vec::new()),
        SecurityProfile::RuntimeDefault => compile(&default::profile(capabilities)).map_err(SeccompError::Compile),
        SecurityProfile::Localhost { name } => {
            let bad = |reason: String| SeccompError::BadProfile { path: name.clone(), reason };
            let text = read(name, profiles)?;
            let seccomp: LinuxSeccomp = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
            from_oci(&seccomp).and_then(|profile| compile(&profile)).map_err(bad)
        }
    }
}

/// A file of the node's directory of profiles, as the kubelet's `seccomp` directory.
fn read(name: &str, profiles: &Path) -> Result<String, SeccompError> {
    if name.is_empty() || !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(SeccompError::BadName(name.to_owned()));
    }
    let path = profiles.join(name);
    let mut text = String::new();
    let file = std::fs::File::open(&path);
    let read = file.and_then(|file| file.take(MAX_PROFILE).read_to_string(&mut text));
    read.map_err(|source| SeccompError::Read { path: path.display().to_string(), source })?;
    Ok(text)
}

/// What is done about a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Allow,
    Log,
    Errno(u32),
    Trap,
    KillThread,
    KillProcess,
}

/// A comparison of one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) index: u8,
    pub(crate) op: Op,
    pub(crate) value: u64,
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// With these bits only.
    Masked(u64),
}

/// A system call, and what its arguments have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) call: Sysno,
    /// All of them.
    pub(crate) arguments: Vec<Argument>,
    pub(crate) action: Action,
}

/// A profile for this machine's architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) default: Action,
    pub(crate) rules: Vec<Rule>,
}

/// A profile in the form of the OCI runtime specification, which Kubernetes' local profiles have. System calls that this
/// architecture does not have are passed over, as libseccomp does.
fn from_oci(seccomp: &LinuxSeccomp) -> Result<Profile, String> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut rules = Vec::new();
    for entry in seccomp.syscalls().iter().flatten() {
        let action = action(entry.action(), entry.errno_ret())?;
        let arguments: Vec<Argument> = entry.args().iter().flatten().map(argument).collect::<Result<_, _>>()?;
        for call in entry.names().iter().filter_map(|name| Sysno::from_str(name).ok()) {
            rules.push(Rule { call, arguments: arguments.clone(), action });
        }
    }
    Ok(Profile { default, rules })
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action, String> {
    /// The number of EPERM on every architecture: the specification's default.
    const EPERM: u32 = 1;
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActErrno => Action::Errno(errno.unwrap_or(EPERM)),
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Action::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        other => return Err(format!("action {other:?} needs somebody who listens, and there is nobody")),
    })
}

fn argument(argument: &LinuxSeccompArg) -> Result<Argument, String> {
    let (value, two) = (argument.value(), argument.value_two());
    let (op, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => (Op::Eq, value),
        LinuxSeccompOperator::ScmpCmpNe => (Op::Ne, value),
        LinuxSeccompOperator::ScmpCmpLt => (Op::Lt, value),
        LinuxSeccompOperator::ScmpCmpLe => (Op::Le, value),
        LinuxSeccompOperator::ScmpCmpGt => (Op::Gt, value),
        LinuxSeccompOperator::ScmpCmpGe => (Op::Ge, value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => (Op::Masked(value), two.unwrap_or(0)),
    };
    let index = u8::try_from(argument.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| format!("a system call has no argument {}", argument.index()))?;
    Ok(Argument { index, op, value })
}

/// The kernel's programs for a profile.
fn compile(profile: &Profile) -> Result<Vec<BpfProgram>, String> {
    let mut programs = Vec::new();
    let different: Vec<&Rule> = profile.rules.iter().filter(|rule| rule.action != profile.default).collect();
    if profile.default != Action::Allow {
        programs.push(program(&different, profile.default, Action::Allow)?);
    }
    let mut actions: Vec<Action> = different.iter().map(|rule| rule.action).collect();
    actions.sort_unstable();
    actions.dedup();
    for action in actions.into_iter().filter(|action| *action != Action::Allow) {
        let rules: Vec<&Rule> = different.iter().filter(|rule| rule.action == action).copied().collect();
        programs.push(program(&rules, Action::Allow, action)?);
    }
    Ok(programs)
}

/// A program that does `matched` to what any of `rules` is about, and `other` to all else.
fn program(rules: &[&Rule], other: Action, matched: Action) -> Result<BpfProgram, String> {
    let mut by_call: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut unconditional = Vec::new();
    for rule in rules {
        let call = i64::from(rule.call.id());
        if rule.arguments.is_empty() {
            unconditional.push(call);
            continue;
        }
        let conditions = rule.arguments.iter().map(condition).collect::<Result<_, _>>();
        let compiled = conditions.and_then(SeccompRule::new).map_err(|error| error.to_string())?;
        by_call.entry(call).or_default().push(compiled);
    }
    // To the library a call without rules is one with any arguments.
    by_call.extend(unconditional.into_iter().map(|call| (call, Vec::new())));
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(by_call, other.into(), matched.into(), arch).map_err(|error| error.to_string())?;
    BpfProgram::try_from(filter).map_err(|error| error.to_string())
}

fn condition(argument: &Argument) -> Result<SeccompCondition, seccompiler::BackendError> {
    let op = match argument.op {
        Op::Eq => SeccompCmpOp::Eq,
        Op::Ne => SeccompCmpOp::Ne,
        Op::Lt => SeccompCmpOp::Lt,
        Op::Le => SeccompCmpOp::Le,
        Op::Gt => SeccompCmpOp::Gt,
        Op::Ge => SeccompCmpOp::Ge,
        Op::Masked(mask) => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(argument.index, SeccompCmpArgLen::Qword, op, argument.value)
}

impl From<Action> for SeccompAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Log => Self::Log,
            Action::Errno(number) => Self::Errno(number),
            Action::Trap => Self::Trap,
            Action::KillThread => Self::KillThread,
            Action::KillProcess => Self::KillProcess,
        }
    }
}

#[cfg(test)]
mod tests;
