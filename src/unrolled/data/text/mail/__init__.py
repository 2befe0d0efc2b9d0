"""Mail: files, archives and single messages, and what their writers typed."""
