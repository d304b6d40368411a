"""The typed HTTP API of outside agents, and the MCP server over it. Same services as the pages; nothing here votes or lands."""
