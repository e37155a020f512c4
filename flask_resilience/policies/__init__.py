"""Pure rules: no Flask, requests, redis, logging or metrics in here."""
