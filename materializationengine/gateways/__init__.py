"""The neighbors: chunkedgraph, segmentation volume, info and auth services, buckets."""
