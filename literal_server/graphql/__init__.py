"""The GraphQL side of the wire: the contract's schema, and resolvers that call the floor below."""
