"""The doors over HTTP. A view checks, asks one storage room or starts one run, and gives the answer its form."""
