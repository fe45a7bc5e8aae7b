"""The web app where people rank answers: API, pages and the small scripts they run. It imports no torch."""
