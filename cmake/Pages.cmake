# penstock.1.gz and the settings' reference, from what the program says of itself (Package.cmake).
execute_process(COMMAND ${PROGRAM} help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${PROGRAM} config OUTPUT_FILE ${TO}/settings.conf COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\\" "\\e" help "${help}")
string(REPLACE "-" "\\-" help "${help}")
string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" help "${help}")
file(WRITE ${TO}/penstock.1 ".TH PENSTOCK 1 \"\" \"penstock ${VERSION}\" \"User Commands\"
.SH NAME
penstock \\- API, scheduler, workers and operators' commands of the job processor
.SH SYNOPSIS
.B penstock
.I COMMAND
[options] [arguments]
.SH DESCRIPTION
.nf
${help}.fi
.SH FILES
.TP
.I /etc/penstock/penstock.conf
the settings; \\fBpenstock config\\fR prints each with its default and meaning
.SH SEE ALSO
the guides in /usr/share/doc/penstock/guides
")
execute_process(COMMAND gzip -9nf ${TO}/penstock.1 COMMAND_ERROR_IS_FATAL ANY)
