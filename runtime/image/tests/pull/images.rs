//! Images made in memory.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use nacelle_image::Digest;
use serde_json::{Value, json};

/// The smallest component: magic, version, layer.
pub(crate) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Blobs and which of them is the top.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) top: Digest,
    pub(crate) media_type: &'static str,
    pub(crate) layers: Vec<Digest>,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Image {
    fn new() -> Self {
        Self { blobs: BTreeMap::new(), top: Digest::of(b""), media_type: MANIFEST, layers: Vec::new() }
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()});
        self.blobs.insert(digest.to_string(), bytes);
        descriptor
    }

    fn finish(mut self, config: Value, layers: Vec<Value>) -> Self {
        self.layers = layers.iter().map(|layer| layer["digest"].as_str().unwrap().parse().unwrap()).collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string();
        self.top = Digest::of(manifest.as_bytes());
        self.blobs.insert(self.top.to_string(), manifest.into_bytes());
        self
    }

    /// A CNCF artifact.
    pub(crate) fn artifact(wasm: &[u8]) -> Self {
        let config = br#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#.to_vec();
        Self::artifact_of("application/vnd.wasm.config.v0+json", config, "application/wasm", &[wasm])
    }

    pub(crate) fn artifact_of(config_type: &str, config: Vec<u8>, layer_type: &str, layers: &[&[u8]]) -> Self {
        let mut image = Self::new();
        let config = image.blob(config_type, config);
        let layers = layers.iter().map(|layer| image.blob(layer_type, layer.to_vec())).collect();
        image.finish(config, layers)
    }

    /// An ordinary image; each layer is a list of files. Layers are gzip, zstd and plain in turn.
    pub(crate) fn files(os: &str, architecture: &str, layers: &[&[(&str, &[u8])]]) -> Self {
        let mut image = Self::new();
        let mut diff_ids = Vec::new();
        let mut descriptors = Vec::new();
        for (number, files) in layers.iter().enumerate() {
            let plain = archive(files);
            diff_ids.push(Digest::of(&plain).to_string());
            descriptors.push(match number % 3 {
                0 => {
                    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    gzip.write_all(&plain).unwrap();
                    image.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.finish().unwrap())
                }
                1 => {
                    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
                    image.blob("application/vnd.oci.image.layer.v1.tar+zstd", zstd)
                }
                _ => image.blob("application/vnd.oci.image.layer.v1.tar", plain),
            });
        }
        let config = json!({
            "os": os, "architecture": architecture, "created": "2024-05-06T07:08:09Z",
            "config": {"Entrypoint": ["/app.wasm"], "Env": ["A=b"], "WorkingDir": "/data"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = image.blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        image.finish(config, descriptors)
    }

    /// An index of images by platform.
    pub(crate) fn index(members: &[(&str, &str, &Image)]) -> Self {
        let mut index = Self::new();
        let mut descriptors = Vec::new();
        for (os, architecture, member) in members {
            index.blobs.extend(member.blobs.clone());
            descriptors.push(json!({
                "mediaType": member.media_type, "digest": member.top.as_str(),
                "size": member.blobs[member.top.as_str()].len(),
                "platform": {"os": os, "architecture": architecture},
            }));
        }
        let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}).to_string();
        index.top = Digest::of(text.as_bytes());
        index.media_type = INDEX;
        index.blobs.insert(index.top.to_string(), text.into_bytes());
        index
    }

    pub(crate) fn top_bytes(&self) -> Vec<u8> {
        self.blobs[self.top.as_str()].clone()
    }

    /// The files of a layout that holds this image under each of `tags`.
    fn layout(&self, tags: &[&str]) -> Vec<(String, Vec<u8>)> {
        let entry = |tag: &&str| {
            json!({"mediaType": self.media_type, "digest": self.top.as_str(), "size": self.top_bytes().len(),
                "annotations": {"org.opencontainers.image.ref.name": tag}})
        };
        let index = json!({"schemaVersion": 2, "manifests": tags.iter().map(entry).collect::<Vec<_>>()});
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        files.extend(
            self.blobs.iter().map(|(digest, bytes)| (format!("blobs/{}", digest.replace(':', "/")), bytes.clone())),
        );
        files
    }

    pub(crate) fn write_layout(&self, dir: &Path, tags: &[&str]) {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (name, bytes) in self.layout(tags) {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
    }

    pub(crate) fn write_archive(&self, file: &Path, tags: &[&str]) {
        let files = self.layout(tags);
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        std::fs::write(file, archive(&files)).unwrap();
    }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len().try_into().unwrap());
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}
