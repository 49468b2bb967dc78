# table.awk - reads list.txt and suites.tsv of conformance.sh, and each suite's log in `out`; prints suite, test, result, reason.
# What comes after a test's verdict (`passed`, `FAILED`), on the same line or later, is of the suite's teardown: a [SKIPPED] there
# skips nothing. A test that was really skipped says so before it says `passed`.
BEGIN { in_steps["ReadOnly.ReadOnlySBC"] } # tries the writing commands one by one, and skips those that the unit does not have
function trim(s) { gsub(/\t/, " ", s); gsub(/^[ ]+|[ ]+$/, "", s); return s }
function row(suite, test, result, reason) { print suite "\t" test "\t" result "\t" trim(reason) }
# the test that was being read is complete: its verdict
function verdict(last) {
    if (test == "") return
    ran[test] = 1
    if (failed || (asserted != "" && said_failed)) row(suite, test, "FAIL", fail_why != "" ? fail_why : asserted)
    else if (passed && is_skip) row(suite, test, "skip", skip_why)
    else if (passed) row(suite, test, "pass", warning != "" ? "warning: " warning : "")
    else if (last) row(suite, test, (rc == 124 || rc == 137) ? "HANG" : "CRASH", fail_why != "" ? fail_why : "exit status " rc)
    else row(suite, test, "FAIL", "no verdict")
}
function begin(name) {
    test = name; failed = said_failed = passed = is_skip = 0; fail_why = skip_why = warning = asserted = ""
}
function after(line, mark) { return substr(line, index(line, mark) + length(mark)) }
# the line up to a [SKIPPED] of the teardown
function without_teardown(line,   skip, told) {
    skip = index(line, "[SKIPPED]")
    if (!skip) return line
    told = match(line, /passed|FAILED[ \t]*$|CU_[A-Z_]+\(/)
    return (passed || failed || (told && told < skip)) ? substr(line, 1, skip - 1) : line
}
function read_line(line) {
    if (match(line, /^[ \t]*Test: [^ ]+ \.\.\./)) {
        verdict(0)
        sub(/^[ \t]*Test: /, "", line); begin(substr(line, 1, index(line, " ") - 1)); line = after(line, "...")
    }
    if (line ~ /^Run Summary/) { summary = 1; return }
    if (test == "" || summary) return
    line = without_teardown(line)
    if (line ~ /\[FAILED\]/) { if (fail_why == "") fail_why = trim(after(line, "[FAILED]")); said_failed = 1 }
    if ((suite "." test) in in_steps && line ~ /\[SKIPPED\] [A-Z0-9]+ is not implemented/) {
        what = trim(after(line, "[SKIPPED]")); sub(/ .*/, "", what)
        if (index(warning " ", " " what " ") == 0) warning = (warning == "" ? "without" : warning) " " what
        return
    }
    if (line ~ /\[SKIPPED\]/) { if (!is_skip) skip_why = trim(after(line, "[SKIPPED]")); is_skip = 1 }
    if (line ~ /\[WARNING\]/ && warning == "") warning = trim(after(line, "[WARNING]"))
    if (line ~ /FAILED[ \t]*$/) failed = 1
    if (line ~ /FAILED/) said_failed = 1
    if (line ~ /passed/) passed = 1
    if (line ~ /^[ \t]*[0-9]+\. [^ ]+:[0-9]+[ \t]+- / && asserted == "") { asserted = line; sub(/^[ \t]*[0-9]+\. /, "", asserted) }
}
FNR == NR {
    if (split($0, part, ".") == 3 && part[1] == "ALL") {
        sub(/[ \t\r]+$/, "", part[3])
        count[part[2]]++; name[part[2], count[part[2]]] = part[3]
    }
    next
}
{
    suite = $1; rc = $2; begin(""); summary = 0; tail = ""
    split("", ran)
    file = out "/" suite ".log"
    while ((getline line < file) > 0) { read_line(line); if (line != "") tail = line }
    close(file)
    any = test != ""
    verdict(!summary)
    for (i = 1; i <= count[suite]; i++)
        if (!(name[suite, i] in ran)) row(suite, name[suite, i], "not-run", "exit status " rc (any ? "" : ": " tail))
}
