"""Pictures and files in bodies: data URLs, pictures known again, PDFs. Imports formats."""
