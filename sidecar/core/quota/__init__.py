"""Shared quotas: one owner for each family of limits gives out dated permits and small standing credits. Pure."""
