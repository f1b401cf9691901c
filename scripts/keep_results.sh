#!/bin/sh
# Copy what people look at from an experiment's folder: tables, plots, the animation, what made them.
#   sh scripts/keep_results.sh runs/ant-standard results/ant
# A folder with other content than kept results is left alone.
set -eu
if [ ! -f "$1/report/provenance.json" ]; then
	echo "$1 holds no finished experiment, expected $1/report/provenance.json" >&2
	exit 1
fi
if [ -e "$2" ] && [ ! -f "$2/provenance.json" ] && [ -n "$(ls -A "$2")" ]; then
	echo "$2 is not empty and has no provenance.json, expected a new folder or one of kept results" >&2
	exit 1
fi
mkdir -p "$2"
for file in "$1"/report/*.csv "$1"/report/*.md "$1"/report/*.png "$1"/report/experiment.yml \
	"$1"/figures/*.png "$1"/video/*.gif "$1"/report/provenance.json; do
	if [ -e "$file" ]; then # without OpenGL there is no animation
		partial="$2/.partial-$(basename "$file")"
		cp "$file" "$partial"
		mv "$partial" "$2/$(basename "$file")"
	fi
done
