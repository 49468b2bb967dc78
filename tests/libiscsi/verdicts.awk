# verdicts.awk - reads a list of wrong expectations and the results.tsv of conformance.sh; prints a counted line for each test.
#   awk -f verdicts.awk -v variant=suite -v logs=DIR wrong-expectations.txt results.tsv
# A test that fails and whose expectation is known to be wrong counts as skipped, with the reason. If it passes, the line about it
# is stale, and that is a failure. Status 1 if any test failed.
BEGIN { FS = "\t" }
FILENAME == ARGV[1] {
    if ($0 !~ /^(#|[ \t]*$)/) wrong[$1] = $2
    next
}
{
    name = "libiscsi/" variant "/" $1 "." $2; verdict = "ok"
    if ($3 == "skip") verdict = "skipped: " $4
    else if ($3 == "FAIL" && name in wrong) verdict = "skipped: wrong expectation: " wrong[name]
    else if ($3 != "pass") verdict = "FAILED: " $3 " " $4 "; see " logs "/" $1 ".log"
    else if (name in wrong) verdict = "FAILED: it passes; take its line out of wrong-expectations.txt"
    if (verdict ~ /^FAILED/) bad = 1
    print "test " name " ... " verdict
}
END { exit bad }
