"""Views: from a result to a document for programs and to lines for people."""
