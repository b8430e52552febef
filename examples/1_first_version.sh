#!/usr/bin/env bash
# From nothing to version 1, on a stack that is up. Needs `matengine` on the path.
set -euo pipefail
folder=${1:-examples-world}

# 128^3 voxels of made neurons, 2,000 synapses between them, and sixty days of edits from 2026-01-01 on.
[[ -e $folder/about.json ]] || matengine world make "$folder" --seed 1 --size 128 --synapses 2000

# The emulated chunkedgraph gets the first thirty days of that history; the rest never happens here.
matengine world load "$folder" --datastack examples --until 2026-01-31

# Which file fills which column of a synapse.
cat > "$folder/mapping.json" <<'JSON'
{
  "id": "id",
  "presyn_coords": "pre_pt_position",
  "postsyn_coords": "post_pt_position",
  "center_coords": "ctr_pt_position",
  "sizes": "size"
}
JSON
matengine run bulk-upload examples synapses --schema synapse --path "$folder/annotations/synapses" \
    --mapping "$folder/mapping.json" --created 2026-01-01 --wait

# Bind every point to its supervoxel and root id, bring the roots to one moment, and publish version 1.
matengine run complete examples --timestamp 2026-01-31 --expires-in-days 0 --wait
matengine versions examples
