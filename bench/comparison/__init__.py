"""The comparison of timedisk with other servers, in interleaved rounds."""
