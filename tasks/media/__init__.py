"""Images and videos in the hands of the kinds: fetched, transcoded, looked at."""
