//! Checksums, and decryption of what `encryptAES` wrote.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::iv::FixedLength;

use super::encodings::decode_64;
use super::{Function, Param, fixed};
use crate::template::failure::{Failure, Result};
use crate::template::value::Value;

const T: Param = Param::Text;
/// Of AES, in bytes.
const BLOCK: usize = 16;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("adler32sum", &[T], |_, a| {
        Ok(Value::text(adler32(a.text(0)).to_string()))
    }),
    fixed("decryptAES", &[T, T], |_, a| {
        decrypted(a.text(0), a.text(1)).map(Value::text)
    }),
    fixed("sha1sum", &[T], |_, a| {
        Ok(hexadecimal(&digest::SHA1_FOR_LEGACY_USE_ONLY, a.text(0)))
    }),
    fixed("sha256sum", &[T], |_, a| {
        Ok(hexadecimal(&digest::SHA256, a.text(0)))
    }),
];

fn hexadecimal<'e>(algorithm: &'static Algorithm, text: &[u8]) -> Value<'e> {
    let digest = digest::digest(algorithm, text);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Value::text(digits.collect::<String>())
}

fn adler32(text: &[u8]) -> u32 {
    let (mut sum, mut sum_of_sums) = (1_u32, 0_u32);
    for &byte in text {
        sum = (sum + u32::from(byte)) % 65_521;
        sum_of_sums = (sum_of_sums + sum) % 65_521;
    }
    sum_of_sums << 16 | sum
}

/// From base64: the start of the chain, then blocks, the last byte of which says how many to leave out.
fn decrypted(password: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let failed = || Failure::new("the text cannot be decrypted");
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(password) {
        *to = *from;
    }
    let bytes = decode_64(text).map_err(|_| failed())?;
    let (start, blocks) = bytes.split_first_chunk::<BLOCK>().ok_or_else(failed)?;
    if blocks.len() % BLOCK != 0 {
        return Err(failed());
    }
    let mut blocks = blocks.to_vec();
    let key = UnboundCipherKey::new(&AES_256, &key)
        .and_then(DecryptingKey::cbc)
        .map_err(|_| failed())?;
    let start = DecryptionContext::Iv128(FixedLength::from(start));
    let plain = key.decrypt(&mut blocks, start).map_err(|_| failed())?;
    let padding = plain.last().map_or(usize::MAX, |&byte| usize::from(byte));
    let length = plain.len().checked_sub(padding).ok_or_else(failed)?;
    Ok(plain[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_everybody() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn what_was_encrypted_by_sprig_is_decrypted() {
        let text = b"30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=";
        assert_eq!(
            decrypted(b"secretkey", text).as_deref(),
            Ok(&b"plaintext"[..])
        );
        assert_eq!(decrypted(b"secretkey", b""), Ok(Vec::new()));
        for wrong in [&b"!"[..], b"aGk=", b"AAAAAAAAAAAAAAAAAAAAAA=="] {
            assert!(decrypted(b"secretkey", wrong).is_err());
        }
    }
}
