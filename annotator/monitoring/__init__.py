"""Is the server well, and what does it do: `/healthz` for anybody, `/metrics` for administrators."""
