//! As whom a container runs: from its `securityContext`, its image's `User`, and the image's `/etc/passwd` and
//! `/etc/group`. No I/O.
//!
//! The rules are the kubelet's (`runAsNonRoot`) and the CRI's (`SupplementalGroupsPolicy`, KEP-3619).

use nacelle_container::{Security, SupplementalGroupsPolicy};

/// Ids of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplemental groups, sorted, the own group among them.
    pub(crate) groups: Vec<u32>,
}

/// Why it is not known as whom a container runs, or must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("securityContext.runAsUser: container's runAsUser breaks non-root policy")]
    RootAsked,
    #[error("securityContext.runAsNonRoot: container has runAsNonRoot and image will run as root: set runAsUser")]
    RootImage,
    #[error(
        "securityContext.runAsNonRoot: container has runAsNonRoot and image has non-numeric user ({0}), cannot verify \
         user is non-root: set runAsUser"
    )]
    NotNumeric(String),
    #[error("the image's user {0:?} is not in its /etc/passwd")]
    NoUser(String),
    #[error("the image's group {0:?} is not in its /etc/group")]
    NoGroup(String),
}

/// A line of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

fn users(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Entry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

/// Name, id and members of each line of `/etc/group`.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

/// As whom a container runs.
pub(crate) fn resolve(security: &Security, image: &str, passwd: &str, group: &str) -> Result<Ids, UserError> {
    let (image_user, image_group) = match image.split_once(':') {
        Some((user, group)) => (user, group),
        None => (image, ""),
    };
    if security.run_as_non_root {
        check_non_root(security.run_as_user, image_user)?;
    }
    let (uid, entry) = match security.run_as_user {
        Some(uid) => (uid, users(passwd).find(|entry| entry.uid == uid)),
        None if image_user.is_empty() => (0, users(passwd).find(|entry| entry.uid == 0)),
        None => match (users(passwd).find(|entry| entry.name == image_user), image_user.parse::<u32>()) {
            (Some(entry), _) => (entry.uid, Some(entry)),
            (None, Ok(uid)) => (uid, users(passwd).find(|entry| entry.uid == uid)),
            (None, Err(_)) => return Err(UserError::NoUser(image_user.to_owned())),
        },
    };
    // The image's group goes with the image's user.
    let image_group = if security.run_as_user.is_some() { "" } else { image_group };
    let gid = match (security.run_as_group, image_group) {
        (Some(gid), _) => gid,
        (None, "") => entry.as_ref().map_or(0, |entry| entry.gid),
        (None, name) => match (groups(group).find(|(known, ..)| *known == name), name.parse()) {
            (Some((_, gid, _)), _) | (None, Ok(gid)) => gid,
            (None, Err(_)) => return Err(UserError::NoGroup(name.to_owned())),
        },
    };
    let mut all = vec![gid];
    all.extend(&security.supplemental_groups);
    all.extend(security.fs_group);
    if let (SupplementalGroupsPolicy::Merge, Some(entry)) = (security.supplemental_groups_policy, &entry) {
        let listed = groups(group).filter(|(.., members)| members.split(',').any(|member| member == entry.name));
        all.extend(listed.map(|(_, gid, _)| gid));
    }
    all.sort_unstable();
    all.dedup();
    Ok(Ids { uid, gid, groups: all })
}

/// The kubelet's check, which trusts numbers only.
fn check_non_root(run_as_user: Option<u32>, image_user: &str) -> Result<(), UserError> {
    match (run_as_user, image_user.parse::<u32>()) {
        (Some(0), _) => Err(UserError::RootAsked),
        (Some(_), _) => Ok(()),
        (None, Ok(0)) => Err(UserError::RootImage),
        (None, Ok(_)) => Ok(()),
        (None, Err(_)) if image_user.is_empty() => Err(UserError::RootImage),
        (None, Err(_)) => Err(UserError::NotNumeric(image_user.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:\nbroken\napp:x:1000:1000::/:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,app\nextra:x:60:app\n";

    fn ids(security: &Security, image: &str) -> Result<(u32, u32, Vec<u32>), UserError> {
        resolve(security, image, PASSWD, GROUP).map(|ids| (ids.uid, ids.gid, ids.groups))
    }

    #[test]
    fn the_image_says_who_it_is() {
        let none = Security::default();
        for (image, expected) in [
            ("", (0, 0, vec![0])),
            ("web", (33, 34, vec![34, 50])),
            ("33", (33, 34, vec![34, 50])),
            ("web:logs", (33, 50, vec![50])),
            ("4711", (4711, 0, vec![0])),
            ("4711:12", (4711, 12, vec![12])),
            ("app:web", (1000, 34, vec![34, 50, 60])),
        ] {
            assert_eq!(ids(&none, image), Ok(expected), "{image}");
        }
        assert_eq!(ids(&none, "nobody"), Err(UserError::NoUser("nobody".into())));
        assert_eq!(ids(&none, "web:none"), Err(UserError::NoGroup("none".into())));
    }

    #[test]
    fn the_manifest_says_more() {
        let security = Security {
            run_as_user: Some(1000),
            supplemental_groups: vec![7],
            fs_group: Some(8),
            ..Security::default()
        };
        assert_eq!(ids(&security, "web:logs"), Ok((1000, 1000, vec![7, 8, 50, 60, 1000])));
        let strict = Security { supplemental_groups_policy: SupplementalGroupsPolicy::Strict, ..security.clone() };
        assert_eq!(ids(&strict, ""), Ok((1000, 1000, vec![7, 8, 1000])));
        let group = Security { run_as_group: Some(9), ..security };
        assert_eq!(ids(&group, ""), Ok((1000, 9, vec![7, 8, 9, 50, 60])));
    }

    #[test]
    fn non_root_is_only_what_is_known_not_to_be_root() {
        let non_root = Security { run_as_non_root: true, ..Security::default() };
        assert_eq!(ids(&non_root, ""), Err(UserError::RootImage));
        assert_eq!(ids(&non_root, "0:33"), Err(UserError::RootImage));
        assert_eq!(ids(&non_root, "web"), Err(UserError::NotNumeric("web".into())));
        assert!(ids(&non_root, "33").is_ok());
        assert_eq!(ids(&Security { run_as_user: Some(0), ..non_root.clone() }, "33"), Err(UserError::RootAsked));
        assert!(ids(&Security { run_as_user: Some(5), ..non_root }, "web").is_ok());
    }
}
