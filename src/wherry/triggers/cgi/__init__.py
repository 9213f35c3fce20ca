"""CGI with containers: the request is a program's environment and stdin, its stdout the answer."""
