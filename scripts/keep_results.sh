#!/bin/sh
# Copy what people look at from an experiment's folder: tables, plots, the animation, what made them.
#   sh scripts/keep_results.sh runs/ant-standard results/ant
set -eu
mkdir -p "$2"
for file in "$1"/report/*.csv "$1"/report/*.md "$1"/report/*.png "$1"/report/experiment.yml \
	"$1"/report/provenance.json "$1"/figures/*.png "$1"/video/*.gif; do
	if [ -e "$file" ]; then cp "$file" "$2"; fi # without OpenGL there is no animation
done
