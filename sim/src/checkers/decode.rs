//! Decodes image files with the compression libraries alone: every stream to its end, and nothing may follow.

use std::io::Read;

/// The decoded bytes of a file called `name`.
///
/// # Errors
/// What is wrong with it.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let result = match name.rsplit('.').next() {
        Some("xz") => xz2::read::XzDecoder::new_multi_decoder(bytes).read_to_end(&mut plain),
        Some("bz2") => bzip2::read::MultiBzDecoder::new(bytes).read_to_end(&mut plain),
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain),
        Some("zst") => {
            return zstd::decode_all(bytes).map_err(|error| format!("{name}: {error}"));
        }
        _ => return Ok(bytes.to_vec()),
    };
    result.map(|_| plain).map_err(|error| format!("{name}: {error}"))
}
