"""WARC files extracted as a job of datatrove, Ray or Spark: each module needs the extra of its name, and only its user imports it."""
