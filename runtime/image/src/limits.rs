//! The bounds on what a registry, a layout or an archive can make nacelle read, keep in memory or unpack.

/// Bytes of one manifest or index; the same limit as the OCI distribution specification's.
pub const MANIFEST_BYTES: u64 = 4 << 20;
/// Bytes of one config blob.
pub const CONFIG_BYTES: u64 = 8 << 20;
/// Layers of one image: the kernel's overlay file system stops well before.
pub const LAYERS: usize = 512;
/// Bytes of one blob as transferred.
pub const BLOB_BYTES: u64 = 32 << 30;
/// Bytes of all layers of one image, unpacked: stops decompression bombs.
pub const UNPACKED_BYTES: u64 = 64 << 30;
/// Entries of all layers of one image.
pub const UNPACKED_ENTRIES: u64 = 4_000_000;
/// Bytes of one path inside a layer: the kernel's own limit.
pub const PATH_BYTES: usize = 4096;
/// Components of one path inside a layer.
pub const PATH_DEPTH: usize = 255;
/// Bytes of the tar headers that precede one entry (long names, pax records): they are held in memory.
pub const TAR_EXTENSION_BYTES: u64 = 1 << 20;
/// Entries of one index.
pub const INDEX_ENTRIES: usize = 1024;
/// How deep an index may refer to another index.
pub const INDEX_DEPTH: usize = 4;
/// Entries of an `oci-archive:` file.
pub const ARCHIVE_ENTRIES: usize = 100_000;
/// Bytes of an error body or a token response.
pub const SMALL_BODY_BYTES: u64 = 256 << 10;
