//! How involved objects are looked up: four keys of the top level.

use crate::enrich::{LookupConfig, RateLimit};
use crate::yaml::{Located, Problem};

/// What is written of it.
#[derive(Default)]
pub(super) struct LookupFile {
    pub(super) omit: bool,
    pub(super) cache_size: Option<Located<i64>>,
    pub(super) qps: Option<Located<f64>>,
    pub(super) burst: Option<Located<i64>>,
}

/// Objects; the incumbent's default.
const CACHE_SIZE: usize = 1024;
/// What the incumbent's own documentation tells people to set who lose events, because its defaults of 5 and 10 hold up
/// everything. Here they hold up nothing, but events that find no token go out without labels.
const LIMIT: RateLimit = RateLimit {
    per_second: 100.0,
    burst: 500,
};

// === impl LookupFile ===

impl LookupFile {
    /// `None` if nothing is to be looked up. Zero stands for the default, as the incumbent has it.
    pub(super) fn check(&self, by_namespace: bool) -> Result<Option<LookupConfig>, Problem> {
        let cache_size = match &self.cache_size {
            None => 0,
            Some(size) => usize::try_from(size.value)
                .map_err(|_| size.problem("must not be negative: it is a number of objects"))?,
        };
        if let Some(qps) = self.qps.as_ref().filter(|qps| qps.value.is_nan()) {
            return Err(qps.problem("must be a number of requests a second"));
        }
        let limit = match (
            self.qps.as_ref().map_or(0.0, |qps| qps.value),
            self.burst.as_ref().map_or(0, |burst| burst.value),
        ) {
            (qps, burst) if qps < 0.0 || burst < 0 => None,
            (qps, burst) => Some(RateLimit {
                per_second: if qps == 0.0 { LIMIT.per_second } else { qps },
                burst: match u32::try_from(burst) {
                    Ok(0) => LIMIT.burst,
                    burst => burst.unwrap_or(u32::MAX),
                },
            }),
        };
        let config = LookupConfig {
            cache_size: if cache_size == 0 {
                CACHE_SIZE
            } else {
                cache_size
            },
            limit,
            by_namespace,
        };
        Ok((!self.omit).then_some(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(keys: &str) -> Result<Option<LookupConfig>, Problem> {
        let text = format!("{keys}\nroute: {{}}");
        Config::parse(&text, &|_| None).map(|loaded| loaded.config.lookup)
    }

    #[test]
    fn what_is_not_given_or_zero_is_the_default_and_a_negative_limit_is_none() {
        let limit = |per_second, burst| Some(RateLimit { per_second, burst });
        for (keys, cache_size, expected, by_namespace) in [
            ("", 1024, limit(100.0, 500), false),
            (
                "{kubeQPS: 0, kubeBurst: 0, cacheSize: 0}",
                1024,
                limit(100.0, 500),
                false,
            ),
            (
                "{kubeQPS: 2.5, kubeBurst: 7, cacheSize: 9}",
                9,
                limit(2.5, 7),
                false,
            ),
            ("{kubeQPS: 5}", 1024, limit(5.0, 500), false),
            ("{kubeBurst: 60.0}", 1024, limit(100.0, 60), false),
            (
                "{kubeBurst: 99999999999}",
                1024,
                limit(100.0, u32::MAX),
                false,
            ),
            ("{kubeQPS: -1}", 1024, None, false),
            ("{kubeBurst: -1}", 1024, None, false),
            ("{namespace: shop}", 1024, limit(100.0, 500), true),
        ] {
            let keys = keys.trim_matches(['{', '}']).replace(", ", "\n");
            let config = LookupConfig {
                cache_size,
                limit: expected,
                by_namespace,
            };
            assert_eq!(parse(&keys).unwrap(), Some(config), "{keys}");
        }
        assert_eq!(parse("omitLookup: true").unwrap(), None);
    }

    #[test]
    fn a_cache_of_negative_size_is_a_mistake() {
        let problem = parse("omitLookup: true\ncacheSize: -1").unwrap_err();
        assert_eq!(
            problem.to_string(),
            "2:12: cacheSize: must not be negative: it is a number of objects"
        );
        assert!(parse("kubeQPS: .nan").is_err());
    }
}
