"""MongoDB, SQS and every process of the Procfile on one laptop: `make up`, `make demo`, and the servers of the tests."""
