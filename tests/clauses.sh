#!/usr/bin/env bash
# Lists clauses of the specification that no test cites, and citations of clauses that do not exist.
# Both lists must be empty. A test cites a clause by its full id (J1.3) in a name, a comment or a story;
# files of tests, `mod tests` at the end of a source file, scenarios and vectors count.
set -euo pipefail
cd "$(dirname "$0")/.."

ids='\b[A-Z][0-9]+\.[0-9]+\b'
clauses=$(grep -hoE '^\*\*[A-Z][0-9]+\.[0-9]+\*\*' spec/*.md | tr -d '*' | sort -uV)

cited() {
    find mles-sansio/tests runtime-*/tests tests fuzz -type f \
        \( -name '*.rs' -o -name '*.txt' -o -name '*.py' \) -not -path '*/target/*' \
        -not -name unjudged.rs 2> /dev/null |
        xargs grep -hoE "$ids"
    find mles-sansio/src runtime-*/src \( -name 'tests.rs' -o -path '*/tests/*.rs' \) -exec grep -hoE "$ids" {} + || true
    find mles-sansio/src runtime-*/src -name '*.rs' -exec awk '/^#\[cfg\(test\)\]/ { on = 1 } FNR == 1 { on = 0 } on' {} + |
        grep -hoE "$ids" || true
    grep -hoE "$ids" spec/vectors/*.json spec/vectors/traces/*.json runtime-common/page/*.test.js || true
}
cited=$(cited | sort -uV)

families=$(sed -E 's/\..*//' <<< "$clauses" | sort -u)
untested=$(comm -23 <(sort <<< "$clauses") <(sort <<< "$cited") | sort -V)
# Only what looks like a clause of a known family can be a wrong citation.
unknown=$(comm -13 <(sort <<< "$clauses") <(sort <<< "$cited") |
    awk -F. 'NR == FNR { known[$1] = 1; next } $1 in known' <(echo "$families") - | sort -V)

[ -z "$untested" ] || printf 'clauses without a test:\n%s\n' "$untested"
[ -z "$unknown" ] || printf 'tests cite clauses that do not exist:\n%s\n' "$unknown"
[ -z "$untested$unknown" ] || exit 1
echo "each of $(wc -l <<< "$clauses") clauses has a test"
