//! Images with root filesystems, image volumes, credentials.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::fake::read;
use crate::world::{ROOMY, World, becomes, pod, status_words, told};

/// An OCI image layout in `dir` with one image, whose only layer holds these files.
fn layout(dir: &Path, config: Value, files: &[(&str, &[u8])]) {
    std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let blob = |kind: &str, bytes: &[u8]| {
        std::fs::write(dir.join("blobs/sha256").join(digest(bytes)), bytes).unwrap();
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": format!("sha256:{}", digest(bytes)), "size": bytes.len()})
    };
    let layer = tar(files);
    let config = json!({"os": "wasip1", "architecture": "wasm", "config": config,
                        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]}});
    let config = blob("config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "config": config, "layers": [blob("layer.v1.tar", &layer)]});
    let manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

/// A tar file (POSIX ustar).
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(*content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

#[tokio::test(start_paused = true)]
async fn an_image_says_what_the_manifest_does_not() {
    let world = World::new();
    let config = json!({"Env": ["PATH=/bin", "A=image", "HOSTNAME=image", "B=image"], "Entrypoint": ["app"],
                        "Cmd": ["exit 3"], "WorkingDir": "/srv"});
    layout(&world.folder().join("image"), config, &[("bin/app", b"\0asm\x0d\0\x01\0")]);
    let manifest = pod("restartPolicy: Never, \
                        containers: [{name: app, image: 'oci:image', env: [{name: A, value: manifest}]}]");
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    assert_eq!(status_words(&*pod.finished().await), "Failed app=exit 3");
    let config = &world.backend.configs()[0];
    let env: Vec<_> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["PATH=/bin", "A=manifest", "HOSTNAME=web", "B=image"]);
    assert_eq!((config.argv.join(" ").as_str(), config.working_dir.as_str()), ("app exit 3", "/srv"));
    told(&mut queue).await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn an_image_can_be_a_volume() {
    let world = World::new();
    layout(&world.folder().join("image"), json!({}), &[("etc/greeting", b"hello")]);
    let manifest = pod("restartPolicy: Never, volumes: [{name: data, image: {reference: 'oci:image'}}], \
                        containers: [{name: app, image: 'file:app.wasm', command: [app, wait], \
                                      volumeMounts: [{name: data, mountPath: /data}]}]");
    let (pod, _queue) = world.start(&manifest, ROOMY);
    becomes(&pod, |status| status.phase.as_deref() == Some("Running")).await;
    assert_eq!(read(&world.backend.infra("app"), "/data/etc/greeting"), "hello");
    assert!(world.node.images().list().unwrap().iter().all(|image| image.in_use));
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}

#[tokio::test]
async fn pull_secrets_reach_the_registry_they_are_for() {
    let world = World::new();
    let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = registry.local_addr().unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata: {{name: login}}\nstringData:\n  \
         .dockerconfigjson: '{{\"auths\": {{\"{address}\": {{\"username\": \"ann\", \"password\": \"pw\"}}}}}}'\n---\n{}",
        pod(&format!(
            "imagePullSecrets: [{{name: missing}}, {{name: login}}], containers: [{{name: app, image: '{address}/team/app:1'}}]"
        ))
    );
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    // A registry that lets nobody in, and that the pull is not done with before it has shown what it was given.
    loop {
        let (mut connection, _) = registry.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        // "ann:pw"
        if String::from_utf8(request).unwrap().to_lowercase().contains("authorization: basic yw5uonb3") {
            break;
        }
        let answer = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n\
                      connection: close\r\n\r\n";
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
    pod.delete(None);
    pod.finished().await;
    told(&mut queue).await;
    world.assert_clean();
}
