"""The API, by subject. Every route names its need; bodies and answers are typed, so that the OpenAPI page is whole."""
