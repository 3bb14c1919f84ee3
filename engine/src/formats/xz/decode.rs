//! Decodes single blocks of an xz file, with the block map from its index.

use std::io;

use xz2::stream::{Action, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::index::{Block, Blocks, Index, push_vli};
use super::{FORMAT, crc32, lzma_error, stream_footer, stream_header};
use crate::formats::FormatError;
use crate::formats::block_reader::{BlockList, CodedBlock};

impl BlockList for Blocks<Index> {
    type Block = Block;

    fn next(&mut self) -> Result<Option<Block>, FormatError> {
        self.next_block()
    }
}

impl CodedBlock for Block {
    const FORMAT: &'static str = FORMAT;

    fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }

    fn stored_len(&self) -> u64 {
        self.padded_len()
    }

    fn content_offset_bytes(&self) -> u64 {
        self.image_offset_bytes
    }

    fn content_len(&self) -> u64 {
        self.uncompressed_len
    }

    fn decodes_like(&self, other: &Self) -> bool {
        let form = |block: &Self| (block.unpadded_len, block.uncompressed_len, block.check);
        form(self) == form(other)
    }

    fn decode(&self, stored: &[u8], memory_bytes: u64, buffer: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        decode_block(self, stored, memory_bytes, buffer)
    }
}

/// Decodes a block as the only one of a synthetic stream, so that liblzma checks all of it: its header, its check, and
/// both its lengths against the index.
fn decode_block(
    block: &Block,
    stored: &[u8],
    memory_bytes: u64,
    mut decoded: Vec<u8>,
) -> Result<Vec<u8>, FormatError> {
    let place = format!(
        "in block {} at byte {} (byte {} of the content)",
        block.number, block.offset_bytes, block.image_offset_bytes
    );
    let refused = |error| lzma_error(error, memory_bytes, &place);
    let damaged = |detail: &str| FormatError::Damaged { format: FORMAT, detail: format!("{detail} {place}") };
    let out_of_memory = || FormatError::Io(io::ErrorKind::OutOfMemory.into());

    let index = one_record_index(block);
    let header = stream_header(block.check);
    let footer = stream_footer(block.check, index.len() as u64);
    let want = usize::try_from(block.uncompressed_len).map_err(|_| out_of_memory())?;
    decoded.clear();
    // One more byte than expected, so that the decoder can find the block's end.
    decoded.try_reserve_exact(want + 1).map_err(|_| out_of_memory())?;

    let mut stream = Stream::new_stream_decoder(memory_bytes, TELL_UNSUPPORTED_CHECK).map_err(refused)?;
    let mut status = Status::Ok;
    for mut part in [&header[..], stored, &index, &footer] {
        while !part.is_empty() {
            if status == Status::StreamEnd {
                return Err(damaged("more data than expected"));
            }
            let before = (stream.total_in(), decoded.len());
            status = stream.process_vec(part, &mut decoded, Action::Run).map_err(refused)?;
            part = &part[(stream.total_in() - before.0) as usize..];
            if decoded.len() > want || (stream.total_in(), decoded.len()) == before {
                return Err(damaged("more data than expected"));
            }
        }
    }
    if status != Status::StreamEnd || decoded.len() != want {
        return Err(damaged("less data than expected"));
    }
    Ok(decoded)
}

fn one_record_index(block: &Block) -> Vec<u8> {
    let mut index = vec![0];
    push_vli(&mut index, 1);
    push_vli(&mut index, block.unpadded_len);
    push_vli(&mut index, block.uncompressed_len);
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend_from_slice(&crc32(&index));
    index
}
